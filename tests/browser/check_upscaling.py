"""Use stea-page in a real, headless Chromium: drop an image, get it larger; drop something else, be told why not.

    python tests/browser/check_upscaling.py --browser chromium --out /tmp/page

The result that the page offers to save must be, pixel by pixel, what stea_arch.upscale makes of the image, for every
shipped network. Writes a screenshot. Not part of run_tests.sh, which needs no browser.
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

PROBE = """
<script>
window.addEventListener('load', async () => {
  const drop = (name, text) => {
    const transfer = new DataTransfer();
    transfer.items.add(new File([Uint8Array.from(atob(text), (c) => c.charCodeAt(0))], name));
    at('drop').dispatchEvent(new DragEvent('drop', {dataTransfer: transfer, bubbles: true, cancelable: true}));
  };
  const until = async (done) => { while (!done()) await new Promise((wake) => setTimeout(wake, 50)); };
  const report = {results: {}};
  drop('notes.png', btoa('this is not an image'));
  await until(() => at('status').classList.contains('error'));
  report.refused = at('status').textContent;
  for (const name in networks) {
    at('model').value = name;
    at('save').hidden = true;
    drop('photo.png', '{{photo}}');
    await until(() => !at('save').hidden);
    report.results[name] = [at('save').download, at('save').href];
  }
  report.errors = window.probeErrors;
  const shown = document.createElement('pre');
  shown.id = 'probe';
  shown.hidden = true;
  shown.textContent = JSON.stringify(report);
  document.body.append(shown);
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
    found = re.search(r'<pre id="probe"[^>]*>(.*?)</pre>', run(browser, url, 1000, '--dump-dom'), re.DOTALL)
    run(browser, url, 1000, f'--screenshot={out / "upscaling.png"}')
    server.shutdown()
    if found is None:
        return ['the probe has not come to its end']
    report = json.loads(html.unescape(found[1]))
    problems = list(report['errors'])
    if 'notes.png: not readable as PNG, JPEG, WebP' not in report['refused']:
        problems.append(f'of a file that is not an image it says: {report["refused"]}')
    for name in shipped():
        download, href = report['results'][name]
        result = np.asarray(Image.open(io.BytesIO(base64.b64decode(href.partition(',')[2]))))
        if download != 'photo_x4.png' or not np.array_equal(result, stea_arch.upscale(photo, name, device='cpu')):
            problems.append(f'{name}: {download} is not what stea_arch.upscale makes')
    print(f'{len(report["results"])} networks, {len(problems)} problems')
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
