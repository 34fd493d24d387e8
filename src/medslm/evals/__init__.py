"""The exam: suites of tasks, one run of lm-eval per model, and statistics that pair each answer with its twin."""
