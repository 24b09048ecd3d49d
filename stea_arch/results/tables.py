"""Tables as text."""


def align(rows):
    """A Markdown table that a terminal shows aligned as well.

    Args:
        rows (list[list[str]]): The head first.

    Returns:
        str: Its lines.
    """
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    lines = ['| ' + ' | '.join(cell.ljust(width) for cell, width in zip(row, widths)) + ' |' for row in rows]
    lines.insert(1, '|' + '|'.join('-' * (width + 2) for width in widths) + '|')
    return '\n'.join(lines)


def format_number(value):
    """Two digits after the point for a PSNR or NIQE, four for an SSIM or another value below 2."""
    return f'{value:.2f}' if abs(value) >= 2 else f'{value:.4f}'
