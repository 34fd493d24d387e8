"""Where examples come from, how they become text, and what keeps the exam out of the lesson."""
