// A click on a column's head sorts its table: the best first, then the other way round. Cells without a value stay last.
for (const button of document.querySelectorAll('thead button')) {
  button.addEventListener('click', () => {
    const head = button.parentElement;
    const column = head.cellIndex;
    const body = head.closest('table').tBodies[0];
    const rising = head.getAttribute('aria-sort') === 'descending';
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
