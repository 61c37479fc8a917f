"""A report's tables as LaTeX (booktabs): each a document that compiles alone, and one document of everything.

Plain pdflatex is enough: geometry, graphicx and booktabs come with every TeX Live. A table that is wider than
the page is scaled to it.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby

from avbench.report.content import CellContent, Head, Heading, Listing, Picture, Section, Sheet, Words
from avbench.table_formats import latex_safe

_PREAMBLE = r"""\documentclass{article}
\usepackage[utf8]{inputenc}
\usepackage[T1]{fontenc}
\usepackage[a4paper,landscape,margin=15mm]{geometry}
\usepackage{booktabs}
\usepackage{graphicx}
\setlength{\belowcaptionskip}{6pt}
% A table no wider than the page keeps its size.
\newsavebox{\avbenchtable}
\newcommand{\fitted}[1]{\sbox{\avbenchtable}{#1}%
  \ifdim\wd\avbenchtable>\linewidth\resizebox{\linewidth}{!}{\usebox{\avbenchtable}}%
  \else\usebox{\avbenchtable}\fi}
"""
# Text of more characters is broken into lines of this width.
_LONG, _LONG_WIDTH = 70, "60mm"
# So many rows of small print fit on a page of it; longer tables go on in a further one.
_ROWS = 38


def table_document(sheet: Sheet, remake: str) -> str:
    """Return one table as a document that compiles alone; its comments say what it is made of."""
    return "\n".join(
        (
            *_comments(sheet, remake),
            _PREAMBLE + "\\pagestyle{empty}",
            "\\begin{document}",
            *table_environments(sheet),
            "\\end{document}",
            "",
        )
    )


def whole_document(title: str, sentences: Sequence[str], sections: Sequence[Section], remake: str) -> str:
    """Return all of a report but its lists of records and commands as one document beside `figures/`."""
    lines = [
        f"% Made by: {remake}",
        _PREAMBLE + "\\graphicspath{{figures/}}",
        f"\\title{{{latex_safe(title)}}}",
        "\\author{}",
        "\\date{}",
        "\\begin{document}",
        "\\maketitle",
        *(latex_safe(sentence) for sentence in sentences),
        f"Made by: \\texttt{{{latex_safe(remake)}}}.",
    ]
    for section in sections:
        lines += ["\\clearpage", f"\\section{{{latex_safe(section.title)}}}"]
        for item in section.items:
            if isinstance(item, Heading):
                lines.append(f"\\subsection*{{{latex_safe(item.text)}}}")
            elif isinstance(item, Words):
                lines += ["", latex_safe(item.text), ""]
            elif isinstance(item, Picture):
                lines += _figure(item)
            elif isinstance(item, Sheet):
                lines += ["", *table_environments(item), "\\clearpage"]
            elif isinstance(item, Listing):
                lines += ["", latex_safe(f"{item.caption} See the page, index.html."), ""]
    return "\n".join((*lines, "\\end{document}", ""))


def table_environments(sheet: Sheet) -> list[str]:
    """Return the lines of a table; of a long one, of several."""
    lines: list[str] = []
    rows = [(block.title, row) for block in sheet.blocks for row in block.rows]
    pieces = [rows[start : start + _ROWS] for start in range(0, len(rows), _ROWS)] or [[]]
    for count, piece in enumerate(pieces):
        words = [sheet.caption, *sheet.notes, f"Source: {sheet.source}." if sheet.source else ""]
        caption = " ".join(word for word in words if word) if count == 0 else f"{sheet.caption} Continued."
        lines += [
            "\\begin{table}[!ht]",
            "\\centering",
            f"\\caption{{{latex_safe(caption)}}}",
            "\\small",
            "\\fitted{%",
            f"\\begin{{tabular}}{{{_alignment(sheet)}}}",
            "\\toprule",
            *_headings(sheet.heads),
        ]
        for title, members in groupby(piece, key=lambda pair: pair[0]):
            lines.append("\\midrule")
            if title:
                spanned = f"\\multicolumn{{{len(sheet.heads)}}}{{l}}"
                lines.append(f"{spanned}{{\\textit{{{latex_safe(title)}}}}} \\\\")
            lines += [" & ".join(_cell(cell) for cell in row) + " \\\\" for _, row in members]
        lines += ["\\bottomrule", "\\end{tabular}}", "\\end{table}"]
        if count < len(pieces) - 1:
            lines.append("\\clearpage")
    return lines


def _comments(sheet: Sheet, remake: str) -> list[str]:
    lines = [f"% Made by: {remake}"]
    if sheet.source:
        lines.append(f"% Source: {sheet.source}")
    return [*lines, *(f"% From the record {path}" for path in sheet.records)]


def _alignment(sheet: Sheet) -> str:
    """Numbers stand right, text left; long text is broken into lines."""
    columns = []
    for place in range(len(sheet.heads)):
        cells = [row[place] for block in sheet.blocks for row in block.rows]
        if sheet.is_numeric(place):
            columns.append("r")
        elif max((len(cell) for cell in cells if isinstance(cell, str)), default=0) > _LONG:
            columns.append(f"p{{{_LONG_WIDTH}}}")
        else:
            columns.append("l")
    return "".join(columns)


def _headings(heads: Sequence[Head]) -> list[str]:
    names = " & ".join(latex_safe(head.name) for head in heads) + " \\\\"
    if not any(head.group for head in heads):
        return [names]
    upper, rules, start = [], [], 1
    for group, members in groupby(heads, key=lambda head: head.group):
        size = len(list(members))
        upper.append(f"\\multicolumn{{{size}}}{{c}}{{{latex_safe(group)}}}")
        if group:
            rules.append(f"\\cmidrule(lr){{{start}-{start + size - 1}}}")
        start += size
    return [" & ".join(upper) + " \\\\", " ".join(rules), names]


def _cell(cell: CellContent) -> str:
    if isinstance(cell, str):
        indent = "\\quad " if cell.startswith("  ") else ""
        return indent + latex_safe(cell.strip())
    text = latex_safe(cell.text)
    if cell.value is not None:
        # A minus, not a hyphen.
        text = text.replace("-", "$-$")
        text = {None: text, 1: f"\\textbf{{{text}}}", 2: f"\\underline{{{text}}}"}[cell.rank]
    return f"{text}\\,{latex_safe(cell.spread)}" if cell.spread else text


def _figure(picture: Picture) -> list[str]:
    return [
        "\\begin{figure}[!ht]",
        "\\centering",
        # A stem may have dots, which would be taken for a suffix.
        f"\\includegraphics[width=\\linewidth,height=0.8\\textheight,keepaspectratio]{{{{{picture.stem}}}.pdf}}",
        f"\\caption{{{latex_safe(picture.caption)}}}",
        "\\end{figure}",
        "\\clearpage",
    ]
