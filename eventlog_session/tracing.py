"""Whose work an event belongs to: the current OpenTelemetry span and the Agents SDK's own trace, as CloudEvents extensions."""

import sys

from opentelemetry import trace

_NO_OP = "no-op"
"""The id of the Agents SDK's traces and spans where tracing is switched off."""
_LONGEST = 256


def extensions() -> dict[str, str]:
    """
    Return the attributes that say which trace and span are current, each only where there is one.

    ``traceparent`` and ``tracestate`` (CloudEvents' Distributed Tracing extension) of the OpenTelemetry span;
    ``agentstraceid`` and ``agentsspanid`` of the Agents SDK's own.
    """
    found: dict[str, str] = {}
    span = trace.get_current_span().get_span_context()
    if span.is_valid:
        found["traceparent"] = f"00-{span.trace_id:032x}-{span.span_id:016x}-{span.trace_flags:02x}"
        if span.trace_state:
            found["tracestate"] = span.trace_state.to_header()
    tracing = sys.modules.get("agents.tracing")  # not imported: then there is no trace of it either
    if tracing is not None:
        for name, current, attribute in (
            ("agentstraceid", tracing.get_current_trace(), "trace_id"),
            ("agentsspanid", tracing.get_current_span(), "span_id"),
        ):
            value = getattr(current, attribute, _NO_OP)
            if value != _NO_OP and value.isprintable() and len(value) <= _LONGEST:  # a trace id may be a caller's own
                found[name] = value
    return found
