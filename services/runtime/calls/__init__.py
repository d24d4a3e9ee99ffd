"""Calls that need no connection of their own: to a server of this process, or side by side with others in a tunnel.

`opened` is the caller's end of a call, `served` the server's, and `call_server` who serves it; `neighbours` joins the
two within a process, `tunnel_client` and `tunnel_server` across one; `repeated` makes a call again where gRPC would;
`channel` chooses the way. What stubs and handlers see of it is gRPC.
"""
