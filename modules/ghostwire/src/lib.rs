//! Transport: the HTTP server and client, the router and JSON-RPC over HTTP.
