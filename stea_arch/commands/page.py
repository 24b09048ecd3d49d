"""``stea-page``: serve the page that upscales a photograph in the browser."""

import argparse
import sys

from stea_arch.weights import DEFAULT, shipped


def main(argv=None):
    """Serve until interrupted.

    Args:
        argv (list[str] | None): Arguments; None for those of the command line.

    Returns:
        int: Exit status: 0 after an interruption, 2 if it could not begin.
    """
    parser = argparse.ArgumentParser(
        prog='stea-page', description='Upscale photographs on a page in the browser, on this machine.'
    )
    parser.add_argument('--model', action='append', help='shipped network or checkpoint; may be given several times')
    parser.add_argument('--port', type=int, default=7860)
    parser.add_argument('--device', help='cpu, cuda, cuda:1, ... (default: a GPU if there is one)')
    parser.add_argument('--max-memory', type=float, metavar='GIB', help='as for stea-upscale')
    args = parser.parse_args(argv)
    try:
        from stea_arch.upscaling.page import PageServer

        server = PageServer(args.model or list(shipped()) or [DEFAULT], args.port, args.device, args.max_memory)
    except (ValueError, OSError) as error:
        print(f'stea-page: {error}', file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 130
    print(f'Open http://127.0.0.1:{server.server_port} (Ctrl-C ends it)', flush=True)
    try:
        server.serve_forever()
    except KeyboardInterrupt:
        print()
    finally:
        server.server_close()
    return 0


if __name__ == '__main__':
    sys.exit(main())
