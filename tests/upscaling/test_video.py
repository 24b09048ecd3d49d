"""Films made here by FFmpeg's own encoders, and what FFmpeg says of the results."""

import itertools
import subprocess
import sys
from fractions import Fraction

import av
import numpy as np
import pytest
import torch
from waiting import wait_until

from stea_arch.commands import upscale as command
from stea_arch.system.errors import InputError
from stea_arch.upscaling import video
from stea_arch.upscaling.batch import find_images, plan, run
from stea_arch.upscaling.upscaler import Upscaler
from stea_arch.upscaling.video import count_pixels, upscale_video

TICK = Fraction(1, 15360)
LOSSLESS = {'libx264': {'qp': '0'}, 'libvpx-vp9': {'lossless': '1'}, 'ffv1': {}, 'utvideo': {}}
CLOCKWISE = [0, 1 << 16, 0, -(1 << 16), 0, 0, 48 << 16, 0, 1 << 30]  # ISO/IEC 14496-12, 6.2.2


def double(pixels):
    return pixels.repeat(2, 0).repeat(2, 1)


def make_film(
    path,
    count=7,
    codec='libx264',
    kind='yuv420p',
    times=None,
    levels=(120, 110, 140),
    matrix=None,
    sound=True,
    last=None,
    **traits,
):
    """Pictures of 64x48 whose first plane gets brighter by one each, with a corner of another brightness.

    The last is shown for ``last`` ticks.
    """
    times = times or [512 * number for number in range(count)]
    with av.open(str(path), 'w') as out:
        pictures = out.add_stream(codec, rate=30, options=LOSSLESS[codec])
        pictures.width, pictures.height, pictures.pix_fmt = 64, 48, kind
        pictures.codec_context.time_base = TICK
        for name, value in traits.items():
            setattr(pictures.codec_context, name, value)
        if matrix:
            pictures.set_display_matrix(matrix)
        if kind.startswith('yuva'):
            pictures.metadata['alpha_mode'] = '1'
        streams = [pictures]
        if sound:
            streams.append(out.add_stream('aac' if path.suffix != '.webm' else 'libopus', rate=48000, layout='mono'))
        if sound and path.suffix == '.mkv':
            words = out.add_mux_stream('subrip')
            words.metadata['language'] = 'eng'
        if sound:
            out.metadata['title'] = 'A film'
        for number in range(count):
            frame = av.VideoFrame(64, 48, kind)
            for place, (plane, level) in enumerate(zip(frame.planes, levels)):
                deep = plane.line_size >= 2 * plane.width
                values = np.full((plane.height, plane.line_size // (2 if deep else 1)), level, '<u2' if deep else 'u1')
                if place == 0:
                    values += number
                    values[:16, :16] += 40
                plane.update(values.tobytes())
            frame.pts, frame.time_base = times[number], TICK
            for name in ('colorspace', 'color_range'):
                setattr(frame, name, getattr(pictures.codec_context, name))
            out.mux(pictures.encode(frame))
        wave = (np.sin(np.arange(1024) / 20) / 4).astype(np.float32)[None]
        for number in range(20 if sound else 0):
            frame = av.AudioFrame.from_ndarray(wave, 'fltp', 'mono')
            frame.sample_rate, frame.pts = 48000, 1024 * number
            out.mux(streams[1].encode(frame))
        for packet in [packet for stream in streams for packet in stream.encode(None)]:
            if last and packet.stream is pictures and packet.pts == times[count - 1]:
                packet.duration = last
            out.mux(packet)
        if sound and path.suffix == '.mkv':
            packet = av.Packet(b'some words')
            packet.stream, packet.time_base = words, Fraction(1, 1000)
            packet.pts = packet.dts = 100
            packet.duration = 300
            out.mux(packet)
    return path


def pictures_of(path):
    with av.open(str(path)) as film:
        return [
            (frame.time, np.frombuffer(frame.planes[0], np.uint8).reshape(frame.height, -1)[:, : frame.width].copy())
            for frame in film.decode(video=0)
        ]


def copied_from(path):
    """What is not pictures: kind, language, time and bytes."""
    with av.open(str(path)) as film:
        others = [stream for stream in film.streams if stream.type != 'video']
        return sorted(
            (packet.stream.type, packet.stream.language or '', packet.pts * packet.time_base, bytes(packet))
            for packet in film.demux(others)
            if packet.dts is not None
        )


@pytest.fixture(autouse=True)
def short_parts(monkeypatch):
    monkeypatch.setattr(video, 'LENGTH', 3)


@pytest.mark.parametrize('ending', ['mp4', 'mov', 'mkv', 'webm'])
def test_pictures_keep_their_times_and_sound_is_copied(tmp_path, ending):
    times = [0, 512, 1536, 1540, 4608, 5120, 9216]  # nothing regular
    codec = 'libvpx-vp9' if ending == 'webm' else 'libx264'
    film = make_film(tmp_path / f'a.{ending}', codec=codec, times=times)
    larger = tmp_path / f'b.{ending}'
    upscale_video(film, larger, double)
    before, after = pictures_of(film), pictures_of(larger)
    assert [time for time, _ in after] == [time for time, _ in before]
    for (_, old), (_, new) in zip(before, after):
        assert new.shape == (96, 128)
        assert np.abs(new.astype(int) - double(old)).mean() < 1.5
    assert copied_from(larger) == copied_from(film)
    assert {'audio', 'subtitle'} >= {kind for kind, *_ in copied_from(film)} and len(copied_from(film)) > 19
    assert ending != 'mkv' or copied_from(larger)[-1][::3] == ('subtitle', b'some words')
    assert sorted(path.name for path in tmp_path.iterdir()) == [film.name, larger.name]
    with av.open(str(larger)) as opened:
        assert {name.lower(): value for name, value in opened.metadata.items()}['title'] == 'A film'


@pytest.mark.parametrize(
    ('name', 'codec', 'result'),
    [
        ('a.mp4', 'libx264', 'b.mp4'),
        ('a.mov', 'libx264', 'b.mov'),
        ('a.mkv', 'libx264', 'b.mkv'),
        ('a.webm', 'libvpx-vp9', 'b.webm'),
        ('a.mp4', 'libx264', 'b.mkv'),
    ],
)
def test_a_regular_film_has_the_same_rate(tmp_path, name, codec, result):
    film = make_film(tmp_path / name, count=8, codec=codec)
    upscale_video(film, tmp_path / result, double)
    with av.open(str(film)) as old, av.open(str(tmp_path / result)) as new:
        assert new.streams.video[0].average_rate == old.streams.video[0].average_rate == 30
        assert sum(1 for _ in new.decode(video=0)) == 8


@pytest.mark.parametrize('ending', ['mp4', 'mov', 'mkv', 'webm'])
def test_the_last_picture_is_shown_as_long(tmp_path, ending):
    codec = 'libvpx-vp9' if ending == 'webm' else 'libx264'
    film = make_film(tmp_path / f'a.{ending}', 7, codec, sound=False, last=5 / TICK, max_b_frames=0)
    upscale_video(film, tmp_path / f'b.{ending}', double)
    with av.open(str(film)) as old, av.open(str(tmp_path / f'b.{ending}')) as new:
        assert new.duration == pytest.approx(old.duration, abs=1000) == pytest.approx(5.2 * av.time_base, abs=1000)


@pytest.mark.parametrize(('ending', 'codec'), [('webm', 'libvpx-vp9'), ('mov', 'libx264')])
def test_sound_that_is_longer_does_not_hold_the_last_picture(tmp_path, ending, codec):
    upscale_video(make_film(tmp_path / f'a.{ending}', 7, codec), tmp_path / 'b.mp4', double)
    with av.open(str(tmp_path / 'b.mp4')) as new:
        pictures = new.streams.video[0]
        assert float(pictures.duration * pictures.time_base) == pytest.approx(7 / 30, abs=2e-3)
        assert new.duration / av.time_base > 0.4


@pytest.mark.parametrize('ending', ['mp4', 'mkv', 'webm'])
def test_a_part_of_any_length_is_joined(tmp_path, monkeypatch, ending):
    monkeypatch.setattr(video, 'LENGTH', 48)
    for count in range(1, 12):
        film = make_film(tmp_path / f'a{count}.{ending}', count, 'libvpx-vp9' if ending == 'webm' else 'libx264')
        upscale_video(film, tmp_path / f'b.{ending}', double)
        assert [time for time, _ in pictures_of(tmp_path / f'b.{ending}')] == [time for time, _ in pictures_of(film)]


@pytest.mark.parametrize(
    ('name', 'damage', 'result', 'message'),
    [
        (
            'a.mp4',
            None,
            'b.webm',
            r'a \.webm file cannot hold its sound in stream 1 \(aac\): give .* --out; \.mkv takes',
        ),
        ('a.mkv', None, 'b.mp4', r'a \.mp4 file cannot hold its subtitles in stream 2 \((srt|subrip)\)'),
        ('a.mkv', (b'A_AAC', b'A_ZZZ'), 'b.mkv', r'its sound in stream 1 cannot be copied, as FFmpeg does not know'),
        ('a.mkv', (b'V_MPEG4/ISO/AVC', b'V_MPEG4/ISO/ZZZ'), 'b.mkv', r'its pictures are of a kind that FFmpeg'),
    ],
)
def test_what_cannot_be_copied_is_said_before_a_picture_is_computed(tmp_path, name, damage, result, message):
    film, calls = make_film(tmp_path / name), []
    if damage:
        film.write_bytes(film.read_bytes().replace(*damage))
    with pytest.raises(InputError, match=message):
        upscale_video(film, tmp_path / result, calls.append)
    assert calls == [] and list(tmp_path.iterdir()) == [film]
    assert (count_pixels(film) == 0) == ('pictures' in message)


@pytest.mark.parametrize(('name', 'codec'), [('a.mkv', 'ffv1'), ('a.webm', 'libvpx-vp9')])
@pytest.mark.parametrize('clear', [True, False])
def test_transparency_is_lost_with_a_word(tmp_path, name, codec, clear):
    film = make_film(tmp_path / name, 1, codec, 'yuva420p' if clear else 'yuv420p', sound=False)
    warnings, jobs = [], plan(find_images([str(film)]))
    assert run(jobs, double, warn=lambda *warning: warnings.append(warning)) == []
    assert warnings == [(film, 'its pictures are transparent, which the result is not')] * clear
    with av.open(str(jobs[0].target)) as result:  # and it does not say that it were
        assert 'alpha_mode' not in {name.lower() for name in result.streams.video[0].metadata}


# Y'CbCr of these levels by the equations of ITU-R BT.601, BT.709 and BT.2020, and the ranges of BT.601
MATRICES = {6: (0.299, 0.114), 1: (0.2126, 0.0722), 9: (0.2627, 0.0593)}


@pytest.mark.parametrize('matrix', MATRICES)
@pytest.mark.parametrize('full', [False, True])
@pytest.mark.parametrize('kind', ['yuv420p', 'yuv444p', 'yuv422p10le'])
def test_the_network_sees_the_right_colours_and_the_result_has_them(tmp_path, matrix, full, kind):
    scale, levels, seen = (4 if '10' in kind else 1), (120, 110, 140), []
    film = make_film(
        tmp_path / 'a.mkv',
        2,
        'ffv1',
        kind,
        levels=[level * scale for level in levels],
        sound=False,
        colorspace=matrix,
        color_range=2 if full else 1,
    )

    def upscale(pixels):
        seen.append(pixels)
        return double(pixels)

    upscale_video(film, tmp_path / 'b.mkv', upscale)
    kr, kb = MATRICES[matrix]
    y, cb, cr = (np.array(levels) - (0 if full else 16, 128, 128)) / ((255, 255, 255) if full else (219, 224, 224))
    red, blue = y + 2 * (1 - kr) * cr, y + 2 * (1 - kb) * cb
    expected = np.array([red, (y - kr * red - kb * blue) / (1 - kr - kb), blue])
    assert seen[0].dtype == (np.uint16 if scale == 4 else np.uint8)
    np.testing.assert_allclose(seen[0][40, 50] / np.iinfo(seen[0].dtype).max, expected, atol=1.2 / 255)
    with av.open(str(tmp_path / 'b.mkv')) as result:
        stream = result.streams.video[0]
        assert (stream.colorspace, stream.color_range, stream.pix_fmt.replace('j', '')) == (matrix, 1 + full, kind)
        frame = next(result.decode(stream))
    for plane, level in zip(frame.planes, levels):
        values = np.frombuffer(plane, '<u2' if scale == 4 else 'u1').reshape(plane.height, -1)
        assert abs(int(values[plane.height * 3 // 4, plane.width * 3 // 4]) - level * scale) <= 1 * scale


def test_a_film_without_a_said_matrix_is_read_as_players_do(tmp_path):
    film = make_film(tmp_path / 'a.mkv', 1, 'ffv1', sound=False)
    upscale_video(film, tmp_path / 'b.mkv', double)
    with av.open(str(tmp_path / 'b.mkv')) as result:  # said now, as by its size a player would take BT.709 from here on
        assert result.streams.video[0].colorspace == 6


def test_what_is_stored_turned_is_upright(tmp_path):
    film = make_film(tmp_path / 'a.mp4', 2, matrix=CLOCKWISE, sample_aspect_ratio=Fraction(4, 3))
    upscale_video(film, tmp_path / 'b.mp4', double)
    with av.open(str(tmp_path / 'b.mp4')) as result:
        frame = next(result.decode(video=0))
        assert result.streams.video[0].sample_aspect_ratio == Fraction(3, 4)
    luma = np.frombuffer(frame.planes[0], np.uint8).reshape(frame.height, -1)[:, : frame.width]
    assert frame.rotation == 0 and luma.shape == (128, 96)
    assert luma[8, 88] > luma[8, 8] + 20  # the bright corner came from the left


def test_odd_sizes_and_rgb(tmp_path):
    film = make_film(tmp_path / 'a.mkv', 1, 'ffv1', sound=False)
    upscale_video(film, tmp_path / 'b.mkv', lambda pixels: double(pixels)[:-1, :-1])
    with av.open(str(tmp_path / 'b.mkv')) as result:
        assert result.streams.video[0].pix_fmt == 'yuv444p' and next(result.decode(video=0)).width == 127
    film = make_film(tmp_path / 'c.avi', 1, 'utvideo', 'gbrp', sound=False)  # green, blue, red
    upscale_video(film, tmp_path / 'd.mkv', double)
    with av.open(str(tmp_path / 'd.mkv')) as result:
        frame = next(result.decode(video=0))
        assert frame.format.name == 'yuv444p'
        np.testing.assert_allclose(frame.to_ndarray(format='rgb24')[60, 80], [140, 120, 110], atol=2)


def test_who_is_interrupted_loses_one_part(tmp_path):
    film, target, calls = make_film(tmp_path / 'a.mp4'), tmp_path / 'b.mp4', []

    def upscale(pixels, until=5):
        calls.append(1)
        if len(calls) > until:
            raise KeyboardInterrupt
        return double(pixels)

    with pytest.raises(KeyboardInterrupt):
        upscale_video(film, target, upscale, 'as it was')
    assert not target.exists()
    calls.clear()
    upscale_video(film, target, lambda pixels: upscale(pixels, 99), 'as it was', resume=True)
    assert len(calls) == 7 - 3
    whole = tmp_path / 'c.mp4'
    upscale_video(film, whole, double)
    assert [bytes(image) for _, image in pictures_of(target)] == [bytes(image) for _, image in pictures_of(whole)]
    assert {path.name for path in tmp_path.iterdir()} == {'a.mp4', 'b.mp4', 'c.mp4'}
    for resume, settings in ((True, 'otherwise'), (False, 'as it was')):  # other settings, or anew: nothing is reused
        calls.clear()
        with pytest.raises(KeyboardInterrupt):
            upscale_video(film, target, upscale, 'as it was')
        calls.clear()
        upscale_video(film, target, lambda pixels: upscale(pixels, 99), settings, resume)
        assert len(calls) == 7
        assert not list(tmp_path.glob('.*'))


def test_who_is_killed_goes_on(tmp_path, checkpoint):
    film = make_film(tmp_path / 'a.mkv', 12, 'ffv1', sound=False)
    program = (
        'from stea_arch.commands.upscale import main; from stea_arch.upscaling import video; video.LENGTH = 2; '
        'raise SystemExit(main())'
    )
    arguments = [sys.executable, '-c', program, 'a.mkv', '--model', checkpoint, '--skip-existing']
    process = subprocess.Popen(arguments, cwd=tmp_path)
    wait_until(lambda: list(tmp_path.glob('.a_x2.mkv.*.parts/000000.nut')), process)
    process.kill()
    process.wait()
    assert not (tmp_path / 'a_x2.mkv').exists()
    assert subprocess.run(arguments, cwd=tmp_path).returncode == 0
    assert [time for time, _ in pictures_of(tmp_path / 'a_x2.mkv')] == [time for time, _ in pictures_of(film)]
    assert sorted(path.name for path in tmp_path.iterdir()) == ['a.mkv', 'a_x2.mkv']


@pytest.mark.parametrize(('changed', 'again'), [(None, 7 - 3), ('--model', 7), ('--base', 7)])
def test_no_film_is_of_two_networks(tmp_path, network, monkeypatch, changed, again):
    """Weights that are trained on under the same name are others: nothing that was made with the former is used."""
    film, calls, until, upscale = make_film(tmp_path / 'a.mkv', sound=False), [], 5, Upscaler.__call__

    def interrupted(*args):
        calls.append(1)
        if len(calls) > until:
            raise KeyboardInterrupt
        return upscale(*args)

    monkeypatch.setattr(Upscaler, '__call__', interrupted)
    files = {flag: str(tmp_path / f'net{flag}.pth') for flag in ('--model', '--base')}
    for file in files.values():
        torch.save(network.state_dict(), file)
    line = [str(film), '--strength', '0.5', '--skip-existing', '--device', 'cpu', *itertools.chain(*files.items())]
    assert command.main(line) == 130
    if changed:
        torch.save({name: value * 1.01 for name, value in network.state_dict().items()}, files[changed])
    calls.clear()
    until = 99
    assert command.main(line) == 0 and len(calls) == again


def test_the_command(tmp_path, checkpoint, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    make_film(tmp_path / 'a.avi', 2)
    (tmp_path / 'broken.mp4').write_bytes(b'not a film')
    assert count_pixels(make_film(tmp_path / 'c.mp4', 2)) == 2 * 64 * 48 and count_pixels(tmp_path / 'broken.mp4') == 0
    assert command.main(['*.avi', 'broken.mp4', '--model', checkpoint, '--device', 'cpu', '--compare', 'html']) == 1
    printed = capsys.readouterr()
    assert 'Wrote 1 of 2' in printed.out and 'broken.mp4: not readable or not writable as a film' in printed.err
    assert pictures_of(tmp_path / 'a_x2.mkv')[0][1].shape == (96, 128)


def test_films_have_to_be_named(tmp_path):
    make_film(tmp_path / 'a.mp4', 1, sound=False)
    with pytest.raises(FileNotFoundError, match='There is no image under'):
        find_images([str(tmp_path)])
    found = find_images([str(tmp_path / '*.mp4')])
    assert [job.target.name for job in plan(found, extension='.png')] == ['a_x4.mp4']
    assert [job.target.name for job in plan(found, str(tmp_path / 'c.mkv'))] == ['c.mkv']
    with pytest.raises(ValueError, match=r'c\.png does not end as a film does \(\.mp4'):
        plan(found, str(tmp_path / 'c.png'))


def test_a_package_that_is_missing_is_named(tmp_path, monkeypatch):
    film = make_film(tmp_path / 'a.mp4', 1, sound=False)
    monkeypatch.setitem(sys.modules, 'av', None)
    ((source, reason),) = run(plan(find_images([str(film)])), double)
    assert source == film and reason == 'for films, install what is missing: pip install "stea_arch[video]"'


@pytest.mark.parametrize(
    ('ending', 'codec', 'rises'), [('avi', 'mpeg4', True), ('mpg', 'mpeg2video', True), ('avi', 'libx264', False)]
)
def test_older_films_keep_their_times_or_say_that_they_have_none(tmp_path, ending, codec, rises):
    with av.open(str(tmp_path / f'a.{ending}'), 'w') as out:
        stream = out.add_stream(codec, rate=25, options={'bf': '2'})
        stream.width, stream.height, stream.pix_fmt = 64, 48, 'yuv420p'
        for level in range(40, 160, 10):
            out.mux(stream.encode(av.VideoFrame.from_ndarray(np.full((48, 64, 3), level, np.uint8), 'rgb24')))
        out.mux(stream.encode(None))
    if not rises:
        with pytest.raises(ValueError, match='rising times of the pictures were expected'):
            upscale_video(tmp_path / 'a.avi', tmp_path / 'b.mkv', double)
        return
    upscale_video(tmp_path / f'a.{ending}', tmp_path / 'b.mkv', double)
    times = [time for time, _ in pictures_of(tmp_path / 'b.mkv')]
    assert np.diff(times) == pytest.approx([0.04] * 11, abs=0.0011)  # MKV counts milliseconds
    with av.open(str(tmp_path / 'b.mkv')) as result:
        assert result.streams.video[0].average_rate == 25


def test_what_is_no_film_of_whole_pictures_is_refused(tmp_path):
    with av.open(str(tmp_path / 'a.mp4'), 'w') as out:
        stream = out.add_stream('libx264', rate=25, options={'flags': '+ilme+ildct', 'x264-params': 'tff=1'})
        stream.width, stream.height, stream.pix_fmt = 64, 64, 'yuv420p'
        frame = av.VideoFrame.from_ndarray(np.zeros((64, 64, 3), np.uint8), 'rgb24')
        out.mux(stream.encode(frame))
        out.mux(stream.encode(None))
    with pytest.raises(ValueError, match='interlaced: deinterlace it first'):
        upscale_video(tmp_path / 'a.mp4', tmp_path / 'b.mp4', double)
    with av.open(str(tmp_path / 'c.mp4'), 'w') as out:
        sound = out.add_stream('aac', rate=48000, layout='mono')
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), 'fltp', 'mono')
        frame.sample_rate = 48000
        out.mux(sound.encode(frame))
        out.mux(sound.encode(None))
    with pytest.raises(ValueError, match='there are no pictures in this file'):
        upscale_video(tmp_path / 'c.mp4', tmp_path / 'b.mp4', double)
    assert {path.name for path in tmp_path.iterdir()} == {'a.mp4', 'c.mp4'}
