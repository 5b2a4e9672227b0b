"""For `schemathesis`: each request that acts is made under a key of its own, unless the key is meant to be wrong."""

import itertools
import re

import schemathesis

COUNT = itertools.count()


@schemathesis.hook
def before_call(ctx, case, kwargs):
    # What is sent without a token is judged by that, and would be given one again if it were edited.
    about = case.meta.phase.data if case.meta else None
    if (getattr(about, "parameter", None) or "").lower() == "authorization":
        return
    headers = case.headers or {}
    for name, value in list(headers.items()):
        if name.lower() == "idempotency-key" and re.fullmatch("[!-~]{1,255}", str(value)):
            headers[name] = f"key-{next(COUNT)}"
