// Stay at the end of what grows, until the reader scrolls up to read; then leave the place alone.

// So near to the end counts as the end.
const NEAR = 24;

export class Follower {
  constructor(scroller, content, button) {
    this.scroller = scroller;
    this.button = button;
    this.isFollowing = true;
    this.last = 0;
    scroller.addEventListener("scroll", () => this.scrolled(), { passive: true });
    button.addEventListener("click", () => { this.toEnd(); document.getElementById("question").focus(); });
    new ResizeObserver(() => this.grown()).observe(content);
    new ResizeObserver(() => this.grown()).observe(scroller);
  }

  get distance() {
    const { scrollHeight, scrollTop, clientHeight } = this.scroller;
    return scrollHeight - scrollTop - clientHeight;
  }

  scrolled() {
    if (this.scroller.scrollTop < this.last && this.distance > 1) this.isFollowing = false;
    if (this.distance < NEAR) this.isFollowing = true;
    this.last = this.scroller.scrollTop;
    this.offer();
  }

  grown() {
    if (this.isFollowing) this.toEnd();
    this.offer();
  }

  offer() { this.button.hidden = this.isFollowing || this.distance < NEAR; }

  toEnd() {
    this.isFollowing = true;
    this.scroller.scrollTop = this.scroller.scrollHeight;
    this.last = this.scroller.scrollTop;
    this.offer();
  }
}
