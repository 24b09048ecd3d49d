"""``stea-export``: write a network in a form that other programs read."""

import argparse
import hashlib
import sys
from pathlib import Path

from stea_arch.system.errors import InputError

EXAMPLES = """\
examples:
  stea-export onnx net_g_latest.pth labnet.onnx            any height and width; checked against PyTorch
  stea-export safetensors net_g_latest.pth labnet.safetensors --half
  stea-export published net_g_latest.pth LabNet_x4.pth     for the authors' code
"""


def main(argv=None):
    """Run one subcommand.

    Args:
        argv (list[str] | None): Arguments; None for those of the command line.

    Returns:
        int: Exit status: 0 if the file was written, 2 if not.
    """
    args = _parser().parse_args(argv)
    try:
        from stea_arch.weights import find_weights, load_network
        from stea_arch.weights.export import export_onnx, export_published, export_safetensors, read_option_file

        source = find_weights(args.model)
        _check_out(args, source)
        if args.format == 'onnx':
            network = load_network(args.model)
            if not hasattr(network, 'fuse'):
                raise InputError(f'A LabNet or RealNet was expected, the weights in {source} are of another network.')
            largest = export_onnx(network, args.out, args.fuse, args.opset, args.half)
            print(f'Wrote {args.out}; it differs from PyTorch by at most {largest:.1e}.')
            return 0
        if args.format == 'safetensors':
            export_safetensors(source, args.out, args.half, read_option_file(args.opt) if args.opt else None)
        else:
            export_published(source, args.out, args.module)
        digest = hashlib.sha256(Path(args.out).read_bytes()).hexdigest()
        print(f'Wrote {args.out}, {Path(args.out).stat().st_size:,} bytes, sha256 {digest}.')
        return 0
    except (ValueError, OSError, ImportError) as error:
        print(f'stea-export {args.format}: {error}', file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print('\nInterrupted; nothing was written.', file=sys.stderr)
        return 130


def _check_out(args, source):
    """Refuse names under which nothing would read what is written, and that of the input."""
    out, expected = Path(args.out), {'onnx': '.onnx', 'safetensors': '.safetensors', 'published': '.pth'}[args.format]
    if out.resolve() == source.resolve():
        raise InputError(f'{out} is the file of MODEL, which would be replaced: give OUT another name.')
    if out.suffix != expected:
        raise InputError(f'OUT must end in {expected} to be read again, got {out}.')


def _parser():
    parser = argparse.ArgumentParser(
        prog='stea-export',
        description='Write a network in a form that other programs read.',
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    formats = parser.add_subparsers(dest='format', required=True, metavar='FORMAT')

    def add(name, text):
        sub = formats.add_parser(name, help=text, description=f'{text[0].upper()}{text[1:]}.')
        sub.add_argument('model', metavar='MODEL', help='shipped network or checkpoint')
        sub.add_argument('out', metavar='OUT', help='file to write')
        return sub

    onnx = add('onnx', 'for ONNX Runtime and others, with free height and width; checked against PyTorch')
    onnx.add_argument('--fuse', action='store_true', help='merge what is linear first: the same function, faster')
    onnx.add_argument('--half', action='store_true', help='weights, input and output in fp16')
    onnx.add_argument(
        '--opset', type=int, metavar='N', help="version of ONNX's operators (default: the exporter's own)"
    )
    safetensors = add('safetensors', 'weights whose metadata name the network')
    safetensors.add_argument('--half', action='store_true', help='store in fp16')
    safetensors.add_argument('--opt', metavar='FILE', help='option file of the training, where the shapes do not tell')
    published = add('published', "a checkpoint that the authors' code loads")
    published.add_argument(
        '--module', choices=['STEA', 'TTEA', 'enla'], help="the attention's name there: enla for real photographs"
    )
    return parser


if __name__ == '__main__':
    sys.exit(main())
