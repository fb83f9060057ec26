"""Training, evaluation and export of the project's own models. The only place where torch may be imported."""
