"""Rows of a table as Markdown, CSV, LaTeX, or a page of HTML whose columns sort."""

from __future__ import annotations

import csv
import html
import re
import statistics
from pathlib import Path
from typing import Dict, List, Sequence

Rows = Sequence[Dict[str, str]]

LATEX_SIGNS = {
    "\\": r"\textbackslash{}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "±": r"$\pm$", "->": r"$\to$",
    **{sign: f"\\{sign}" for sign in "&%$#_{}"},
}  # fmt: skip
SORTS = """
for (const head of document.querySelectorAll("th")) head.onclick = () => {
  const body = head.closest("table").tBodies[0], at = head.cellIndex, down = head.ariaSort !== "descending";
  for (const other of head.parentNode.cells) other.ariaSort = "none";
  head.ariaSort = down ? "descending" : "ascending";
  const value = row => { const text = row.cells[at].textContent, number = parseFloat(text);
                         return [Number.isNaN(number) ? -Infinity : number, text]; };
  const order = (a, b) => { const [x, s] = value(a), [y, t] = value(b); return x === y ? t.localeCompare(s) : x - y; };
  body.append(...[...body.rows].sort((a, b) => down ? order(b, a) : order(a, b)));
};
for (const head of document.querySelectorAll("th")) head.onkeydown = e => e.key === "Enter" && head.click();"""
STYLE = """
body { font: 15px/1.4 system-ui, sans-serif; margin: 2em; color: #222; background: #fff }
table { border-collapse: collapse } caption { text-align: left; padding-bottom: .6em }
th, td { padding: .3em .8em; border-bottom: 1px solid #ddd; text-align: left; font-variant-numeric: tabular-nums }
th { cursor: pointer; border-bottom: 2px solid #444 } th:focus-visible { outline: 2px solid #06c }
th[aria-sort=descending]::after { content: " ▾" } th[aria-sort=ascending]::after { content: " ▴" }"""


def spread(values: List[float]) -> str:
    """ "mean ± std" (without the deviation for a single value)."""
    deviation = f" ± {statistics.stdev(values):.2f}" if len(values) > 1 else ""
    return f"{statistics.mean(values):.2f}{deviation}"


def columns_of(rows: Rows) -> List[str]:
    """Every column of any row, in order."""
    return list(dict.fromkeys(name for row in rows for name in row))


def aligned(rows: Rows) -> str:
    """Rows as a Markdown table."""
    columns = columns_of(rows)
    cells = [columns, *[[row.get(c, "") for c in columns] for row in rows]]
    widths = [max(len(line[i]) for line in cells) for i in range(len(columns))]
    lines = ["| " + " | ".join(cell.ljust(width) for cell, width in zip(line, widths)) + " |" for line in cells]
    lines.insert(1, "|" + "|".join("-" * (width + 2) for width in widths) + "|")
    return "\n".join(lines)


def write_csv(path: Path, rows: Rows) -> None:
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, fieldnames=columns_of(rows))
        writer.writeheader()
        writer.writerows(rows)


def latex(rows: Rows, caption: str) -> str:
    r"""A ``table`` with the rules of the package booktabs; numbers are right-aligned."""
    signs = re.compile("|".join(map(re.escape, LATEX_SIGNS)))
    columns = columns_of(rows)

    def line(cells: Sequence[str]) -> str:
        return " & ".join(signs.sub(lambda found: LATEX_SIGNS[found[0]], cell) for cell in cells) + r" \\"

    def is_number(column: str) -> bool:
        return all(re.match(r"[-+]?\d|off|$", row.get(column, "")) for row in rows)

    kinds = "".join("r" if is_number(column) else "l" for column in columns)
    return "\n".join([
        r"\begin{table}", r"\centering", rf"\begin{{tabular}}{{{kinds}}}", r"\toprule", line(columns), r"\midrule",
        *[line([row.get(column, "") for column in columns]) for row in rows],
        r"\bottomrule", r"\end{tabular}", rf"\caption{{{line([caption])[:-3]}}}", r"\end{table}", "",
    ])  # fmt: skip


def page(rows: Rows, caption: str) -> str:
    """A page that needs nothing else; a click on the head of a column (or Enter) sorts by it."""
    columns = columns_of(rows)
    head = "".join(f"<th scope=col aria-sort=none tabindex=0>{html.escape(name)}" for name in columns)
    cells = (["<td>" + html.escape(row.get(name, "")) for name in columns] for row in rows)
    return (
        f'<!doctype html>\n<html lang="en"><meta charset="utf-8"><title>SpLIP: results</title>\n<style>{STYLE}'
        f"\n</style>\n<table><caption>{html.escape(caption)}</caption>\n<thead><tr>{head}</thead>\n<tbody>\n"
        + "\n".join("<tr>" + "".join(line) for line in cells)
        + f"\n</tbody></table>\n<script>{SORTS}\n</script>\n</html>\n"
    )
