/** The closing table: what every node did in every round, and what it got. */

/** @param {string[][]} rows the heading first; columns from `numbers` on are numbers @param {number} numbers */
function aligned(rows, numbers) {
  const widths = (rows[0] ?? []).map((_, column) => Math.max(...rows.map((row) => (row[column] ?? '').length)));
  return rows
    .map((row) =>
      row
        .map((cell, column) =>
          column >= numbers ? cell.padStart(widths[column] ?? 0) : cell.padEnd(widths[column] ?? 0),
        )
        .join('  ')
        .trimEnd(),
    )
    .join('\n');
}

/** @param {import('./simulation.js').Report} report @returns {string} */
export function table(report) {
  const rows = [['round', 'node', 'fault', 'submitted', 'votes', 'paid (base units)']];
  for (const { round, lie, trouble, submitted, refused, votes, paid } of report.rounds) {
    for (const { name } of report.nodes) {
      const fault = [lie, trouble].filter((it) => it !== null && (it.who ?? name) === name).map((it) => it?.kind);
      const net = votes[name]?.votes;
      rows.push([
        String(round),
        name,
        fault.join(', ') || '-',
        typeof submitted[name] === 'string' ? 'yes' : refused[name] === undefined ? 'no' : 'refused',
        net === undefined ? '-' : net === null ? 'none' : net > 0 ? `+${net}` : String(net),
        paid === null ? '-' : String(paid[name] ?? 0),
      ]);
    }
  }
  const miners = [['node', 'sidecar', 'acknowledged', 'stored', 'balance', 'stake left']];
  for (const { name, generation } of report.nodes) {
    const { accepted, stored } = report.miners.find((miner) => miner.name === name) ?? {};
    miners.push([name, generation, ...[accepted, stored, report.balances[name], report.stakes[name]].map(String)]);
  }
  return `${aligned(rows, 4)}\n\n${aligned(miners, 2)}`;
}
