"""The figures as an SVG: a line for each, with a bar for those that have a goal, which is marked."""

from __future__ import annotations

from xml.sax.saxutils import escape

from bench.figures import Figure
from bench.report import TITLES, cells

WIDTH, ROW, LEFT, BAR = 1120, 24, 530, 260
MOST = 2.0
"""A bar ends at twice the goal, so that one large ratio does not flatten the others."""


def share(figure: Figure) -> float:
    """How much of the goal is reached: 1.0 is the goal, and more is better, be the goal a floor or a ceiling."""
    assert figure.goal is not None
    if figure.bound == "at least":
        return figure.reached / figure.goal
    return figure.goal / figure.reached if figure.reached else MOST


def svg(figures: list[Figure], title: str) -> str:
    """The picture, readable on a light and on a dark page."""
    lines: list[str] = []
    y = 40
    for measure in dict.fromkeys(figure.measure for figure in figures):
        y += 12
        lines.append(f'<text x="10" y="{y + 16}" class="title">{escape(TITLES[measure])}</text>')
        y += ROW + 4
        for figure in (each for each in figures if each.measure == measure):
            lines += _row(figure, y)
            y += ROW
    full = LEFT + BAR / MOST
    return f"""<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {y + 20}" role="img">
<title>{escape(title)}</title>
<style>
text {{ font: 13px system-ui, sans-serif; fill: #1f2328; }}
.title {{ font-weight: 600; }} .met {{ fill: #1a7f37; }} .missed {{ fill: #cf222e; }} .goal {{ stroke: #656d76; }}
svg {{ background: #ffffff; }}
</style>
<text x="10" y="22" class="title">{escape(title)}</text>
<text x="{full}" y="22" text-anchor="middle">goal</text>
<line x1="{full}" x2="{full}" y1="30" y2="{y + 8}" class="goal" stroke-dasharray="3 3"/>
{chr(10).join(lines)}
</svg>
"""


def _row(figure: Figure, y: int) -> list[str]:
    name, value, ratio, *_ = cells(figure)
    said = f"{value} ({ratio})" if ratio else value
    row = [f'<text x="20" y="{y + 16}">{escape(name)}</text>']
    if figure.goal is not None:
        length = min(share(figure), MOST) * BAR / MOST
        kind = "met" if figure.met else "missed"
        row.append(f'<rect x="{LEFT}" y="{y + 4}" width="{length:.0f}" height="{ROW - 8}" class="{kind}"/>')
    row.append(f'<text x="{LEFT + BAR + 12}" y="{y + 16}">{escape(said)}</text>')
    return row
