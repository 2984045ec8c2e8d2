"""Training: chats to exact ids and masks, the loop, its plan, and the adapter that comes out."""
