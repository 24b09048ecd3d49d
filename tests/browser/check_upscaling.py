"""Use stea-page in a real, headless Chromium: drop images, get them larger; drop something else, be told why not.

    python tests/browser/check_upscaling.py --browser chromium --out /tmp/page

What the page saves must be, pixel by pixel, what stea_arch.upscale makes of the image, for every shipped network and
two strengths. Writes a screenshot. Not part of run_tests.sh, which needs no browser.
"""

import argparse
import base64
import html
import io
import json
import re
import sys
import threading
from pathlib import Path

import numpy as np
from check_page import ERRORS, run
from PIL import Image
from skimage import data

import stea_arch
from stea_arch.upscaling import page
from stea_arch.weights import shipped

PATIENT = '--virtual-time-budget=900000'  # it runs fast while a file is read
PROBE = """
<script>
window.addEventListener('load', async () => {
  const drop = (files) => {
    const transfer = new DataTransfer();
    for (const [name, text] of Object.entries(files))
      transfer.items.add(new File([Uint8Array.from(atob(text), (c) => c.charCodeAt(0))], name));
    at('drop').dispatchEvent(new DragEvent('drop', {dataTransfer: transfer, bubbles: true, cancelable: true}));
  };
  const until = async (done) => { while (!done()) await new Promise((wake) => setTimeout(wake, 50)); };
  const ended = () => items.every((item) => ['done', 'failed'].includes(item.state));
  const saved = {};
  URL.createObjectURL = (blob) => { saved.blob = blob; return 'about:blank#'; };
  HTMLAnchorElement.prototype.click = function () { saved.name = this.download; };
  const read = (blob) => new Promise((done) => {
    const reader = new FileReader();
    reader.onload = () => done(reader.result);
    reader.readAsDataURL(blob);
  });
  const report = {results: {}};
  drop({'notes.png': btoa('this is not an image'), 'photo.png': '{{photo}}', 'second.png': '{{photo}}'});
  await until(ended);
  report.states = items.map((item) => item.state);
  report.refused = items[0].row.textContent;
  report.shown = shown.file.name;
  report.rows = document.querySelectorAll('#list button').length;
  items[2].row.click();
  await until(() => at('result').contentDocument.querySelector('h1')?.textContent === 'second.png');
  for (const name in networks) {
    for (const strength of [1, 0.5]) {
      at('model').value = name;
      at('strength').value = strength;
      at('again').click();
      await until(ended);
      at('format').value = strength === 1 ? 'png' : 'tiff';
      saved.blob = null;
      at('save').click();
      await until(() => saved.blob);
      report.results[`${name} ${strength}`] = [saved.name, await read(saved.blob)];
    }
  }
  report.errors = window.probeErrors;
  const done = document.createElement('pre');
  done.id = 'probe';
  done.hidden = true;
  done.textContent = JSON.stringify(report);
  document.body.append(done);
});
</script></body>"""


def serve(photo):
    """A server of the page with the probe in it, for the shipped networks, on the CPU."""
    file = io.BytesIO()
    Image.fromarray(photo).save(file, 'PNG')
    probe = PROBE.replace('{{photo}}', base64.b64encode(file.getvalue()).decode())
    render = page.render

    def render_probed(template, **values):
        return render(template, **values).replace('<script>', f'{ERRORS}<script>', 1).replace('</body>', probe)

    page.render = render_probed
    server = page.PageServer(list(shipped()), device='cpu')
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return server


def check(browser, out):
    """What is wrong, as a list of texts."""
    photo = np.ascontiguousarray(data.astronaut()[40:88, 190:254])
    server = serve(photo)
    url = f'http://127.0.0.1:{server.server_port}/'
    found = re.search(r'<pre id="probe"[^>]*>(.*?)</pre>', run(browser, url, 1000, '--dump-dom', PATIENT), re.DOTALL)
    run(browser, url, 1000, f'--screenshot={out / "upscaling.png"}', PATIENT)
    server.shutdown()
    if found is None:
        return ['the probe has not come to its end']
    report = json.loads(html.unescape(found[1]))
    problems = list(report['errors'])
    if 'notes.png' not in report['refused'] or 'not readable as PNG, JPEG, WebP' not in report['refused']:
        problems.append(f'of a file that is not an image it says: {report["refused"]}')
    if (report['states'], report['shown'], report['rows']) != (['failed', 'done', 'done'], 'photo.png', 3):
        problems.append(
            f'of three files {report["states"]}, {report["rows"]} are listed, and {report["shown"]} is shown'
        )
    for name in shipped():
        for strength, ending in ((1, 'png'), (0.5, 'tiff')):
            download, href = report['results'][f'{name} {strength}']
            result = np.asarray(Image.open(io.BytesIO(base64.b64decode(href.partition(',')[2]))))
            expected = stea_arch.upscale(photo, name, device='cpu', strength=strength)
            if download != f'second_x4.{ending}' or not np.array_equal(result, expected):
                problems.append(f'{name} at {strength}: {download} is not what stea_arch.upscale makes')
    print(f'{len(report["results"])} results, {len(problems)} problems')
    return problems


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--browser', default='chromium')
    parser.add_argument('--out', type=Path, default=Path('results/page_check'))
    args = parser.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    problems = check(args.browser, args.out)
    print('\n'.join(problems) or 'all is well')
    return int(bool(problems))


if __name__ == '__main__':
    sys.exit(main())
