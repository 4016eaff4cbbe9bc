/**
 * Run the latest of many requested tasks: one at a time, and of those that are requested
 * meanwhile only the last. A server that is slower than the typing is never asked twice.
 */
export class Latest {
  private waiting: (() => Promise<void>) | null = null;
  private running = false;

  request(task: () => Promise<void>): void {
    this.waiting = task;
    if (!this.running) void this.drain();
  }

  private async drain(): Promise<void> {
    this.running = true;
    try {
      while (this.waiting !== null) {
        const task = this.waiting;
        this.waiting = null;
        await task();
      }
    } finally {
      this.running = false;
    }
  }
}
