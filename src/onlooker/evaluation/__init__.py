"""Retrieval quality of a dual encoder. Knows no torch and nothing of training.

``metrics``: pure numpy: ranks, R@k, mAP, mINP, the order of the matches.
``protocols``: which picture is right for which text.
``bootstrap``: 95 % intervals that draw pictures or persons, not texts.
``encoding``: a manifest through an encoder, once.
``runner``: all of it together, ``evaluate(encoder, manifest) -> Evaluation``.
``report``: JSON, Markdown and the terminal. ``results``: what each text found. ``misses``: the page of the worst.
``plots``: the curve. ``agreement``: how far two encoders rank alike, for the export gate.
"""
