/** One function, as `/api/functions` tells it; the start page is compiled against it too. */
export interface FunctionAnswer {
  name: string;
  /** Name of its page, and where that is; null where it has none. */
  page: { title: string; path: string } | null;
  topic: string | null;
  paused: boolean;
  generation: number;
  running: number;
  due: number;
  failed: number;
  overdue: number;
  unsent: number;
}

/** The body of `/api/functions`. */
export interface FunctionsAnswer {
  functions: FunctionAnswer[];
  parked: number;
  /** No number goes further: it stands for itself and more. */
  countedTo: number;
}
