import type { FileStored } from "../api/types";
import { count } from "../model/format";
import { app } from "./app.svelte";

export interface Upload {
  number: number;
  name: string;
  state: "waiting" | "sending" | "storing" | "stored" | "failed";
  /** How much of the file was sent, 0 to 1. */
  share: number;
  note: string;
  error: unknown;
}

/** Files on their way to an index, one after the other. */
class Uploads {
  list = $state<Upload[]>([]);
  private queue = Promise.resolve();
  private count = 0;

  send(index: string, files: File[]): Promise<void> {
    for (const file of files) {
      this.list.push({
        number: this.count++,
        name: file.name,
        state: "waiting",
        share: 0,
        note: "waiting",
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
      const stored = await app.client.upload(index, file, (share) => {
        upload.share = share;
        if (share >= 1) [upload.state, upload.note] = ["storing", "sent; being indexed"];
      });
      [upload.state, upload.note] = ["stored", describeStored(stored)];
      await app.refreshIndexes();
    } catch (error) {
      [upload.state, upload.note, upload.error] = ["failed", "not stored", error];
    }
  }
}

function describeStored(stored: FileStored): string {
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
