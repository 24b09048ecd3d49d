"""Open a page of stea-compare in a real, headless Chromium without network, and check what only a browser can tell.

    python tests/browser/check_page.py results/compare/quick_x2/index.html --browser chromium --out /tmp/page

At 1280, 1200 and 500 pixels (the narrowest window Chromium makes): no script error, every picture decoded, nothing
wider than the window except what scrolls by itself, and from 1200 on no overview does; no crop alone in a line from
1280 on; a click on a column's head sorts the rows, the best value first, and a second click turns them round; a crop
opens large and an arrow shows the next network's. Writes a screenshot of each width. Not part of run_tests.sh, which
needs no browser.
"""

import argparse
import json
import re
import subprocess
import sys
import tempfile
from pathlib import Path

WIDTHS = (1280, 1200, 500)
PROBE = """
<script>
window.addEventListener('load', () => {
  const problems = [];
  for (const image of document.images) {
    const decoded = image.complete && image.naturalWidth;
    if (image.hasAttribute('src') && !decoded) problems.push('not decoded: ' + image.alt);
  }
  const wide = document.documentElement.scrollWidth - window.innerWidth;
  if (wide > 0) problems.push('the page is ' + wide + ' pixels wider than its window');
  let columns = 0;
  for (const table of document.querySelectorAll('table')) {
    const heads = [...table.tHead.rows[0].cells];
    heads.forEach((head, column) => {
      const named = head.textContent.includes('\u03c3') ? heads[1] : head;  // a kernel's column holds the first metric
      const lower = /^(parameters|MACs|latency|memory)|NIQE|LPIPS/.test(named.textContent.trim().split('/')[0]);
      for (const sign of lower ? [1, -1] : [-1, 1]) {
        head.querySelector('button').click();
        const cells = [...table.tBodies[0].rows].map((row) => row.cells[column]);
        const all = cells.map((cell) => parseFloat(cell.dataset.v));
        const values = all.filter((value) => !isNaN(value));
        const sorted = [...values].sort((a, b) => sign * (a - b));
        if (column && String(values) !== String(sorted)) problems.push('not sorted: ' + head.textContent);
        if (column && all.slice(0, values.length).some(isNaN)) problems.push('empty cells first: ' + head.textContent);
      }
      columns += 1;
    });
  }
  for (const box of document.querySelectorAll('h2 + .scroll')) {
    if (innerWidth >= 1200 && box.scrollWidth > box.clientWidth) problems.push('an overview scrolls sideways');
  }
  for (const crops of document.querySelectorAll('.crops')) {
    const tops = [...crops.querySelectorAll('figure:not(.whole)')].map((figure) => figure.offsetTop);
    const last = tops.filter((top) => top === Math.max(...tops)).length;
    if (innerWidth >= 1280 && last === 1) problems.push('a crop stands alone in a line');
    crops.querySelectorAll('.tile')[0].click();
    const large = document.querySelector('dialog');
    const first = large.querySelector('img').src;
    large.dispatchEvent(new KeyboardEvent('keydown', {key: 'ArrowRight'}));
    if (!large.open || large.querySelector('img').src === first) problems.push('a crop does not open or flip');
    large.close();
  }
  const report = document.createElement('pre');
  report.id = 'probe';
  const errors = window.probeErrors;
  report.textContent = JSON.stringify({problems: [...errors, ...problems], images: document.images.length, columns});
  document.body.append(report);
});
</script></body>"""
ERRORS = '<script>window.probeErrors = []; window.onerror = (text) => { window.probeErrors.push(text); };</script>'


def run(browser, url, width, *flags):
    """Chromium's standard output for a page in a fresh profile."""
    with tempfile.TemporaryDirectory() as profile:
        command = [browser, '--headless', '--no-sandbox', '--disable-gpu', '--disable-background-networking']
        command += ['--no-first-run', '--hide-scrollbars', '--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1']
        command += [f'--user-data-dir={profile}', f'--window-size={width},2400', '--virtual-time-budget=20000']
        command += [*flags, url]
        return subprocess.run(command, capture_output=True, text=True, check=True, timeout=300).stdout


def check(browser, page, width, out):
    """What is wrong with the page at a width."""
    text = page.read_text(encoding='utf-8')
    probed = out / f'probed_{width}.html'
    probed.write_text(text.replace('<head>', f'<head>{ERRORS}', 1).replace('</body>', PROBE, 1), encoding='utf-8')
    found = re.search(
        r'<pre id="probe">(.*?)</pre>', run(browser, probed.resolve().as_uri(), width, '--dump-dom'), re.DOTALL
    )
    run(browser, page.resolve().as_uri(), width, f'--screenshot={out / f"page_{width}.png"}')
    if found is None:
        return ['the probe has not run']
    report = json.loads(found[1].replace('&amp;', '&').replace('&lt;', '<').replace('&gt;', '>'))
    print(
        f'{width} pixels: {report["images"]} pictures, {report["columns"]} columns, {len(report["problems"])} problems'
    )
    return report['problems']


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('page', type=Path)
    parser.add_argument('--browser', default='chromium')
    parser.add_argument('--out', type=Path, default=Path('results/page_check'))
    args = parser.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    problems = [f'{width}: {text}' for width in WIDTHS for text in check(args.browser, args.page, width, args.out)]
    print('\n'.join(problems) or 'all is well')
    return int(bool(problems))


if __name__ == '__main__':
    sys.exit(main())
