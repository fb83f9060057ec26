"""The distributed runtime: Faust agents around the same operators that `mien run` uses. Nothing else imports Faust."""
