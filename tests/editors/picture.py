"""A picture of a Neovim's screen, for people: its cells drawn with their colours."""

from pathlib import Path
from typing import Any

from matplotlib.font_manager import findfont
from PIL import Image, ImageDraw, ImageFont

from tests.editors.neovim import Neovim

FONT_PX = 15
CELL = (9, 20)
MARGIN = 6
N_COLOURS = 64
CELLS = """(function()
  vim.api.nvim__inspect_cell(1, 0, 0) -- the first look has Neovim forget all colours
  vim.cmd("redraw!")
  local rows = {}
  for row = 1, vim.o.lines do
    rows[row] = {}
    for column = 1, vim.o.columns do
      local cell = vim.api.nvim__inspect_cell(1, row - 1, column - 1)
      local look = cell[2] or {}
      rows[row][column] = { cell[1], look.foreground or -1, look.background or -1,
                            look.reverse and 1 or 0, look.bold and 1 or 0 }
    end
  end
  local normal = vim.api.nvim_get_hl(0, { name = "Normal" })
  local at = vim.fn.screenpos(0, vim.fn.line("."), vim.fn.col("."))
  return { rows = rows, fg = normal.fg or 0xe0e2ea, bg = normal.bg or 0x14161b,
           cursor = { at.row - 1, at.col - 1 } }
end)()"""


def take_picture(editor: Neovim, file: Path) -> Image.Image:
    """Draw the screen as it is now into ``file``, a PNG."""
    screen = editor.lua(CELLS)
    rows = screen["rows"]
    width, height = CELL[0] * len(rows[0]), CELL[1] * len(rows)
    image = Image.new("RGB", (width + 2 * MARGIN, height + 2 * MARGIN), _rgb(screen["bg"]))
    draw = ImageDraw.Draw(image)
    fonts = [_font("normal"), _font("bold")]
    for row, cells in enumerate(rows):
        for column, cell in enumerate(cells):
            is_cursor = [row, column] == screen["cursor"]
            _draw_cell(draw, (row, column), cell, screen, fonts, is_cursor=is_cursor)
    file.parent.mkdir(parents=True, exist_ok=True)
    image.quantize(N_COLOURS).save(file, optimize=True)
    return image


def _draw_cell(
    draw: ImageDraw.ImageDraw,
    place: tuple[int, int],
    cell: list[Any],
    screen: dict[str, Any],
    fonts: list[Any],
    *,
    is_cursor: bool,
) -> None:
    text, front, back, is_reversed, is_bold = cell
    front = screen["fg"] if front < 0 else front
    back = screen["bg"] if back < 0 else back
    if is_reversed:
        front, back = back, front
    x, y = MARGIN + CELL[0] * place[1], MARGIN + CELL[1] * place[0]
    draw.rectangle((x, y, x + CELL[0] - 1, y + CELL[1] - 1), fill=_rgb(back))
    if text.strip():
        draw.text((x, y + 1), text, fill=_rgb(front), font=fonts[is_bold])
    if is_cursor:  # a bar, as in insert mode
        draw.rectangle((x, y, x + 1, y + CELL[1] - 1), fill=_rgb(screen["fg"]))


def _rgb(colour: float) -> tuple[int, int, int]:
    value = int(colour)
    return value >> 16, value >> 8 & 255, value & 255


def _font(weight: str) -> Any:
    return ImageFont.truetype(findfont(f"DejaVu Sans Mono:{weight}"), FONT_PX)
