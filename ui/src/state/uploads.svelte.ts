import { client } from "../api/client";
import type { StoredFile } from "../api/types";
import { bytes, count } from "../model/format";
import { app } from "./app.svelte";

export interface Upload {
  number: number;
  name: string;
  state: "waiting" | "sending" | "stored" | "failed";
  note: string;
  /** Bytes that have gone to the server, and those of the file. */
  sent: number;
  size: number;
  error: unknown;
}

/** Files on their way to an index, one after the other. */
class Uploads {
  list = $state<Upload[]>([]);
  readonly done = $derived(this.list.filter(({ state }) => isOver(state)).length);
  private queue = Promise.resolve();
  private count = 0;

  send(index: string, files: File[]): Promise<void> {
    for (const file of files) {
      this.list.push({
        number: this.count++,
        name: file.name,
        state: "waiting",
        note: "waiting",
        sent: 0,
        size: file.size,
        error: null,
      });
      const upload = this.list.at(-1);
      if (upload) this.queue = this.queue.then(() => this.sendOne(index, file, upload));
    }
    return this.queue;
  }

  private async sendOne(index: string, file: File, upload: Upload): Promise<void> {
    [upload.state, upload.note] = ["sending", `to ${index}`];
    try {
      const stored = await client.indexes.addFile(index, file.name, file, {
        onSent: (sent, size) => {
          [upload.sent, upload.size] = [sent, size];
          upload.note =
            sent < size
              ? `${bytes(sent)} of ${bytes(size)} sent to ${index}`
              : `${bytes(size)} sent, being read and indexed`;
        },
      });
      [upload.state, upload.note] = ["stored", describeStored(stored)];
      await app.refreshIndexes();
    } catch (error) {
      [upload.state, upload.note, upload.error] = ["failed", "not stored", error];
    }
  }
}

function isOver(state: Upload["state"]): boolean {
  return state === "stored" || state === "failed";
}

function describeStored(stored: StoredFile): string {
  const parts = [
    `${count(stored.documents, "document")}: ${stored.added} added, ${stored.updated} updated, ${stored.unchanged} unchanged`,
  ];
  if (stored.empty > 0) parts.push(`${stored.empty} without text`);
  if (stored.skipped_rows > 0) parts.push(`${count(stored.skipped_rows, "row")} skipped`);
  if (stored.unread_characters > 0) {
    parts.push(`${count(stored.unread_characters, "character")} not read`);
  }
  return [parts.join(", "), ...stored.skipped].join("; ");
}

export const uploads = new Uploads();
