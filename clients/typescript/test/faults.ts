// A server on a free port that answers as a test says, to see what a client does then.
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";

export type Answer = (response: ServerResponse, request: IncomingMessage) => void;

export interface Faults {
  url: string;
  /** The requests that came, with the time of each in milliseconds. */
  requests: { method: string; url: string; at: number; closed: Promise<void> }[];
}

/** Answer the first request by the first function and so on; the last answers all others. */
export async function withFaults(
  answers: readonly Answer[],
  use: (faults: Faults) => Promise<void>,
): Promise<void> {
  const requests: Faults["requests"] = [];
  const server = createServer((request, response) => {
    const closed = new Promise<void>((resolve) => response.once("close", () => resolve()));
    const { method = "", url = "" } = request;
    requests.push({ method, url, at: Date.now(), closed });
    const answer = answers[Math.min(requests.length, answers.length) - 1];
    request.resume().once("end", () => answer?.(response, request));
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const { port } = server.address() as AddressInfo;
  try {
    await use({ url: `http://127.0.0.1:${port}`, requests });
  } finally {
    server.closeAllConnections();
    await new Promise((resolve) => server.close(resolve));
  }
}

/** Answer with JSON. */
export function json(
  body: unknown,
  status = 200,
  headers: Record<string, string> = {},
): Answer {
  return (response) => {
    response.writeHead(status, { "content-type": "application/json", ...headers });
    response.end(JSON.stringify(body));
  };
}

/** Break the connection without an answer. */
export const breakOff: Answer = (response) => response.destroy();

/** Never answer. */
export const silence: Answer = () => undefined;
