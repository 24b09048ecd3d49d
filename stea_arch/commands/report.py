"""``stea-report``: one table and one picture from the results of several tests."""

import argparse
from pathlib import Path


def main(argv=None):
    parser = argparse.ArgumentParser(prog='stea-report', description='One table, and one picture, from test results.')
    parser.add_argument('results', nargs='+', help='folders results/<name>, in the order of the rows')
    parser.add_argument('--table', type=Path, help='also write the table to this Markdown file')
    parser.add_argument('--picture', type=Path, help='write crops side by side (tests need val.save_img: true)')
    parser.add_argument('--rows', type=int, default=4, help='rows of the picture (default 4)')
    args = parser.parse_args(argv)

    from stea_arch.results.picture import make_picture  # here: they load PyTorch, which takes seconds
    from stea_arch.results.tables import load_results, make_labels, make_table

    try:
        by_dataset = load_results(args.results)
    except (FileNotFoundError, ValueError) as error:
        parser.exit(1, f'{error}\n')
    text = '\n\n'.join(make_table(name, runs) for name, runs in by_dataset.items())
    print(text)
    if args.table:
        args.table.write_text(text + '\n', encoding='utf-8')
    if args.picture:
        runs = next(iter(by_dataset.values()))
        try:
            make_picture(runs, make_labels(runs), args.picture, args.rows)
        except ValueError as error:
            parser.exit(1, f'{error}\n')


if __name__ == '__main__':
    main()
