"""A simulated caller: a carrier that speaks Twilio's webhooks and media streams, and a person on its line.

Everything that a real call meets is here in a form that can be asked afterwards: what the caller really heard
and when (a virtual playout buffer), how long an answer took at the service's edge, what came after a `clear`.
`python -m tests.fakes.caller --help` calls a running service.
"""
