import { refused } from '../engine/refused';

export type LegalMoves<State extends string> = Readonly<Record<State, readonly State[]>>;

/** The state an object moves to, or a refusal that names both states and what would have been legal. */
export function move<State extends string>(
  object: string,
  moves: LegalMoves<State>,
  from: State,
  to: NoInfer<State>,
): State {
  if (moves[from].includes(to)) return to;
  const legal = moves[from].length === 0 ? 'nothing' : moves[from].join(', ');
  throw refused(`${object} cannot go from ${from} to ${to} (legal: ${legal}).`, { from, to });
}
