"""``stea-page``: serve the page that upscales a photograph in the browser."""

import argparse
import errno
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
    parser.add_argument('--port', type=_port, default=7860, help='0 takes a free one (default: 7860)')
    parser.add_argument('--device', help='cpu, cuda, cuda:1, mps, ... (default: an NVIDIA GPU if there is one)')
    parser.add_argument('--max-memory', type=float, metavar='GIB', help='as for stea-upscale')
    args = parser.parse_args(argv)
    try:
        from stea_arch.upscaling.page import PageServer

        server = PageServer(args.model or list(shipped()) or [DEFAULT], args.port, args.device, args.max_memory)
    except (ValueError, OSError) as error:
        if getattr(error, 'errno', None) in (errno.EADDRINUSE, errno.EACCES):
            error = f'Port {args.port} cannot be used ({error.strerror}). Give another one; --port 0 takes a free one.'
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


def _port(text):
    value = int(text)
    if not 0 <= value <= 65535:
        raise argparse.ArgumentTypeError(f'expected a number from 0 to 65535, got {text}')
    return value


if __name__ == '__main__':
    sys.exit(main())
