"""Films in, larger films out: pictures one after another, sound and subtitles as they are.

Pictures are decoded, upscaled and encoded in parts of ``LENGTH``, each a file beside the target, whole or absent. They
are joined at the end without being encoded again. So the memory holds one picture, the disk none that is not encoded,
and whoever is killed loses a part.
"""

import glob
import hashlib
import heapq
import itertools
import math
import os
import re
import shutil
import tempfile
from collections import deque
from contextlib import ExitStack, suppress
from fractions import Fraction
from pathlib import Path

import numpy as np

from stea_arch import __version__
from stea_arch.system.errors import InputError
from stea_arch.system.files import whole_or_nothing
from stea_arch.system.packages import require_for_file

FORMATS = {'.mp4': 'mp4', '.m4v': 'mp4', '.mov': 'mov', '.mkv': 'matroska', '.webm': 'webm'}  # FFmpeg's names
READ_ONLY = ('.avi', '.flv', '.m2ts', '.mpeg', '.mpg', '.mts', '.ts', '.wmv')  # become .mkv
ENDINGS = (*FORMATS, *READ_ONLY)
LENGTH = 48  # pictures of a part
X264 = {'crf': '17', 'bf': '0'}  # hardly to be told from the original; without B-frames parts follow each other in time
VP9 = {'crf': '20', 'b:v': '0', 'row-mt': '1', 'cpu-used': '3'}
UNKNOWN, LIMITED, FULL = 2, 1, 2  # FFmpeg's numbers: of matrix, primaries and curve; and of the range
BT601, BT709 = 6, 1
TRIAL = 1000  # packets of sound and subtitles that are copied in a trial
ALPHA = 'alpha_mode'  # FFmpeg's name, in either case, of what MKV and WebM say of a stream: '1' is transparent


def upscale_video(source, target, upscale, settings='', resume=False, warn=None):
    """Upscale a film.

    Kept are the times of the pictures, also where they are not regular, and how long the last is shown, matrix and
    range of the colours, 8 or more bits (as 10) and the resolution of colour; what is stored turned is turned upright.
    Sound, subtitles, chapters and titles are copied, which is tried before the first picture is computed; other streams
    and transparency are left out.

    Args:
        source (Path): a film that FFmpeg can read.
        target (Path): its name ends as one of ``FORMATS``; H.264, or VP9 as WebM. Replaced in one step at the end.
        upscale (callable): ``(H, W, 3)`` uint8 or uint16 -> the same, larger.
        settings (str): what else the result depends on: parts that were made with others are not used.
        resume (bool): use the parts that an interrupted run has left.
        warn (callable | None): called with a sentence on what of the pictures is lost.

    Raises:
        ValueError: PyAV is not installed, the film cannot be read, has no pictures or is interlaced, or a file of the
            target's kind cannot hold its sound or subtitles.
        OSError: it cannot be written.
    """
    av = _load_av()
    status = source.stat()
    made_by = f'{LENGTH} {__version__} {av.__version__} {settings}'
    state = f'{source.resolve()} {status.st_size} {status.st_mtime_ns} {target.suffix} {made_by}'
    parts = target.with_name(f'.{target.name}.{hashlib.sha256(os.fsencode(state)).hexdigest()[:16]}.parts')
    if not resume:
        shutil.rmtree(parts, ignore_errors=True)
    parts.mkdir(parents=True, exist_ok=True)
    try:
        _try_to_join(av, source, target, warn)
        made, end = _make_parts(av, source, target, parts, upscale)
        with whole_or_nothing(target) as partial:
            _join(av, source, made, end, target.suffix, partial)
        for left in target.parent.glob(f'.{glob.escape(target.name)}.*.parts'):  # also those of other settings
            shutil.rmtree(left)
    except av.FFmpegError as error:
        raise InputError(f'not readable or not writable as a film ({error.strerror or error})') from error
    finally:
        with suppress(OSError):
            parts.rmdir()  # if nothing is in it


def count_pixels(path):
    """How many pixels a film has in all its pictures, about; 0 where that is not known."""
    try:
        av = _load_av()
        with av.open(os.fspath(path)) as film:
            stream = _find_pictures(film)
            seconds = (film.duration or 0) / av.time_base
            return stream.width * stream.height * (stream.frames or round(seconds * (stream.average_rate or 0)))
    except (OSError, ValueError):
        return 0


def _load_av():
    return require_for_file('av', 'video', 'for films')


def _find_pictures(film):
    if not film.streams.video:
        raise InputError('a film was expected, but there are no pictures in this file')
    stream = film.streams.video[0]
    if stream.codec_context is None:
        raise InputError('its pictures are of a kind that FFmpeg, as PyAV brings it, cannot decode: convert it first')
    return stream


def _try_to_join(av, source, target, warn):
    """Copy all that is not pictures to nowhere, beside one picture: what fails there need not fail hours later."""
    with av.open(os.fspath(source)) as film, tempfile.TemporaryDirectory() as folder:
        stream, part = _find_pictures(film), Path(folder, 'trial.nut')
        if warn and _is_clear(stream):
            warn('its pictures are transparent, which the result is not')
        picture = av.VideoFrame(64, 64, 'yuv420p')
        picture.pts, picture.time_base = 0, stream.time_base
        _encode(av, [picture], part, stream, target.suffix)
        _join(av, source, [part], 0, target.suffix, os.devnull, TRIAL)


def _is_clear(stream):
    """Whether pictures have transparency, be it beside them, where WebM has it and the decoder does not look."""
    inside = stream.format and any(component.is_alpha for component in stream.format.components)
    return inside or any(name.lower() == ALPHA and value == '1' for name, value in stream.metadata.items())


def _make_parts(av, source, target, parts, upscale):
    """The files of the parts, and the second at which the last picture ends."""
    made, ends = [], deque(maxlen=1)
    with av.open(os.fspath(source)) as film:
        stream = _find_pictures(film)
        stream.thread_type = 'AUTO'
        frames = _in_order(film.decode(stream), ends)
        for number in itertools.count():
            some = itertools.islice(frames, LENGTH)
            first = next(some, None)
            if first is None:
                break
            path = parts / f'{number:06}.nut'
            if path.is_file():
                deque(some, 0)  # without keeping any
            else:
                pictures = (_enlarge(av, frame, upscale) for frame in itertools.chain([first], some))
                with whole_or_nothing(path) as partial:
                    _encode(av, pictures, partial, stream, target.suffix)
            made.append(path)
        if not made:
            raise InputError('a film was expected, but there are no pictures in this file')
        ends.append(max(ends[0], _find_end(av, film, stream)))
    return made, ends[0]


def _find_end(av, film, stream):
    """The second at which pictures end, as far as a film says so; in MKV and WebM a picture does not tell it."""
    if told := re.fullmatch(r'(\d+):(\d\d):(\d\d\.\d+)\0*', stream.metadata.get('DURATION', '')):
        return 3600 * int(told[1]) + 60 * int(told[2]) + Fraction(told[3])
    return Fraction(film.duration or 0, av.time_base) if len(film.streams) == 1 else Fraction(0)


def _in_order(frames, ends):
    """The frames; the second at which each ends is added to ``ends``."""
    last = -math.inf
    for frame in frames:
        if frame.pts is None or frame.pts < last:  # as H.264 in AVI and MPEG, which have no place for it
            raise InputError(
                'rising times of the pictures were expected, but the film lacks them: convert it to MKV first'
            )
        last = frame.pts
        ends.append((frame.pts + (frame.duration or 0)) * frame.time_base)
        yield frame


def _enlarge(av, frame, upscale):
    """A larger picture, at the same time and with the same kind of numbers."""
    if frame.interlaced_frame:
        raise InputError('a film of whole pictures was expected, but this one is interlaced: deinterlace it first')
    exact = av.video.reformatter.Interpolation
    exact = exact.BICUBIC | exact.ACCURATE_RND | exact.FULL_CHR_H_INT | exact.FULL_CHR_H_INP
    usual = BT709 if min(frame.height, frame.width) > 576 else BT601  # what players take where nothing is said
    for name in ('colorspace', 'color_primaries', 'color_trc'):
        if getattr(frame, name) in (0, UNKNOWN):
            setattr(frame, name, usual)
    matrix, levels = frame.colorspace, LIMITED if frame.format.is_rgb else frame.color_range or LIMITED
    deep = max(component.bits for component in frame.format.components) > 8
    rgb = 'rgb48le' if deep else 'rgb24'
    pixels = frame.reformat(format=rgb, interpolation=exact, dst_color_range=FULL).to_ndarray()
    larger = np.ascontiguousarray(upscale(np.ascontiguousarray(np.rot90(pixels, frame.rotation // 90))))
    picture = av.VideoFrame.from_ndarray(larger, rgb)
    picture.color_range = FULL
    odd = larger.shape[0] % 2 or larger.shape[1] % 2  # halves of a pixel do not exist
    fineness = '444' if odd or frame.format.is_rgb else (re.search('42[02]|444', frame.format.name) or ['420'])[0]
    picture = picture.reformat(
        format=f'yuv{fineness}p{"10le" if deep else ""}',
        interpolation=exact,
        dst_colorspace=matrix,
        dst_color_range=levels,
    )
    picture.pts, picture.time_base = frame.pts, frame.time_base
    picture.colorspace, picture.color_range = matrix, levels
    picture.color_primaries, picture.color_trc = frame.color_primaries, frame.color_trc
    return picture


def _encode(av, pictures, path, stream, ending):
    codec, options = ('libvpx-vp9', VP9) if ending.lower() == '.webm' else ('libx264', X264)
    with av.open(os.fspath(path), 'w', format='nut') as out:
        encoder = None
        for picture in pictures:
            if encoder is None:
                rate = stream.average_rate or stream.guessed_rate or 25
                encoder = out.add_stream(codec, rate=rate, options=options)
                encoder.width, encoder.height, encoder.pix_fmt = picture.width, picture.height, picture.format.name
                encoder.codec_context.time_base = encoder.time_base = stream.time_base
                shape = stream.sample_aspect_ratio
                if shape:
                    turned = (picture.width > picture.height) != (stream.width > stream.height)
                    encoder.codec_context.sample_aspect_ratio = 1 / shape if turned else shape
                for name in ('colorspace', 'color_range', 'color_primaries', 'color_trc'):
                    setattr(encoder.codec_context, name, getattr(picture, name))
            out.mux(encoder.encode(picture))
        out.mux(encoder.encode(None))


def _join(av, source, parts, end, ending, path, most=None):
    """The pictures of the parts and what is not pictures of the source, ``most`` packets, in the order of time."""
    with ExitStack() as open_files:
        film = open_files.enter_context(av.open(os.fspath(source)))
        out = open_files.enter_context(av.open(os.fspath(path), 'w', format=FORMATS[ending.lower()]))
        with av.open(os.fspath(parts[0])) as first:
            streams = {None: out.add_stream_from_template(first.streams.video[0])}
        before = film.streams.video[0]
        streams[None].time_base = before.time_base
        streams[None].codec_context.framerate = before.average_rate or 0  # a part's own is one picture a tick
        copied = [stream for stream in film.streams if stream.type in ('audio', 'subtitle')]
        streams |= {stream.index: _add_copy(out, stream, ending) for stream in copied}
        for old, new in zip((before, *copied), streams.values()):
            new.metadata.update(old.metadata)
            new.disposition = old.disposition
            for name in [name for name in new.metadata if name.lower() == ALPHA]:
                del new.metadata[name]  # the result is opaque
        out.metadata.update(film.metadata)
        out.set_chapters(film.chapters())
        pictures = ((None, packet) for packet in _packets(av, parts, end))
        copies = itertools.islice(film.demux(copied), most) if copied else ()
        others = ((packet.stream.index, packet) for packet in copies)
        timed = (((index, packet) for index, packet in each if packet.dts is not None) for each in (pictures, others))
        for index, packet in heapq.merge(*timed, key=lambda pair: pair[1].dts * pair[1].time_base):
            packet.stream = streams[index]
            out.mux(packet)


def _add_copy(out, stream, ending):
    """A stream for what is copied from one of the source."""
    sound = 'sound' if stream.type == 'audio' else 'subtitles'
    if stream.codec_context is None:
        raise InputError(
            f'its {sound} in stream {stream.index} cannot be copied, as FFmpeg does not know what it is: convert that '
            'stream first, or make a copy of the film without it'
        )
    try:
        return out.add_stream_from_template(stream)
    except ValueError as error:
        raise InputError(
            f'a {ending} file cannot hold its {sound} in stream {stream.index} ({stream.codec_context.name}): give the '
            'result another ending with --out; .mkv takes nearly everything'
        ) from error


def _packets(av, parts, end):
    """Those of all parts; the last lasts until the second ``end``, as parts do not keep it."""
    last = None
    for path in parts:
        with av.open(os.fspath(path)) as part:
            for packet in part.demux(part.streams.video[0]):
                if packet.pts is None:  # the end
                    continue
                packet.dts = packet.pts  # the same without B-frames; of some parts, as of 7 pictures, it is not told
                if last is not None:
                    yield last
                last = packet
    if (duration := round(end / last.time_base) - last.pts) > 0:
        last.duration = duration
    yield last
