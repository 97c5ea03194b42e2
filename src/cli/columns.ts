/** Rows of cells as lines with aligned columns. */

/** Pads each column to its widest cell, but at most `maxWidth`; the last column is never padded. */
export function renderColumns(rows: readonly (readonly string[])[], maxWidth = 48): string[] {
  const widths: number[] = [];
  for (const row of rows) {
    for (const [index, cell] of row.entries()) {
      widths[index] = Math.min(maxWidth, Math.max(widths[index] ?? 0, cell.length));
    }
  }
  return rows.map((row) =>
    row
      .map((cell, index) => (index === row.length - 1 ? cell : cell.padEnd(widths[index] ?? 0)))
      .join("  ")
      .trimEnd(),
  );
}
