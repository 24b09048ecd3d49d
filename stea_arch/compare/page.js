// A click on a column's head sorts its table: the best first, then the other way round. Cells without a value stay last.
for (const button of document.querySelectorAll('thead button')) {
  button.addEventListener('click', () => {
    const head = button.parentElement;
    const column = head.cellIndex;
    const body = head.closest('table').tBodies[0];
    const sorted = head.getAttribute('aria-sort');
    const rising = sorted ? sorted === 'descending' : 'rising' in head.dataset;
    const value = (row) => {
      const cell = row.cells[column];
      return column === 0 ? cell.textContent.trim().toLowerCase() : parseFloat(cell.dataset.v);
    };
    for (const other of head.parentElement.cells) other.removeAttribute('aria-sort');
    head.setAttribute('aria-sort', rising ? 'ascending' : 'descending');
    const rows = [...body.rows].sort((one, two) => {
      const [a, b] = [value(one), value(two)];
      if (column > 0 && (isNaN(a) || isNaN(b))) return isNaN(a) - isNaN(b);
      return (a < b ? -1 : a > b ? 1 : 0) * (rising ? 1 : -1);
    });
    body.append(...rows);
  });
}

// A crop opens large; the same place of every network follows at a click, an arrow or a number.
const large = document.getElementById('large');
const names = large.querySelector('.names');
const picture = names.insertAdjacentElement('afterend', document.createElement('img'));
let tiles = [];
let shown = 0;

function show(number) {
  shown = (number + tiles.length) % tiles.length;
  const small = tiles[shown].querySelector('img');
  Object.assign(picture, { src: small.src, alt: small.alt });
  [...names.children].forEach((name, at) => name.setAttribute('aria-pressed', at === shown));
  names.children[shown].focus();
}

function open(button) {
  const crops = button.closest('.crops');
  tiles = [...crops.querySelectorAll('.tile')];
  names.replaceChildren(...tiles.map((tile, at) => {
    const name = document.createElement('button');
    name.textContent = `${at + 1} ${tile.parentElement.querySelector('figcaption').innerText.replace('\n', ' ')}`;
    name.onclick = () => show(at);
    return name;
  }));
  large.showModal();
  show(tiles.indexOf(button));
}

for (const button of document.querySelectorAll('.tile')) button.addEventListener('click', () => open(button));
picture.addEventListener('click', () => show(shown + 1));
large.addEventListener('click', (event) => { if (event.target === large) large.close(); });
large.addEventListener('keydown', (event) => {
  const number = '123456789'.indexOf(event.key);
  if (event.key === 'ArrowRight' || event.key === ' ') show(shown + 1);
  else if (event.key === 'ArrowLeft') show(shown - 1);
  else if (number >= 0 && number < tiles.length) show(number);
  else return;
  event.preventDefault();
});
