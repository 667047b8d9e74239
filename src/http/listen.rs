//! Opening listeners at the addresses and names that the configuration has.

use std::io;
use std::net::{Ipv4Addr, SocketAddr, ToSocketAddrs};

use async_net::TcpListener;

use crate::config::is_localhost;

/// Opens every place that `variable` has named.
///
/// # Errors
/// One of them cannot be had.
pub fn listen<'a>(places: impl Iterator<Item = (&'a str, u16)>, variable: &str) -> io::Result<Vec<TcpListener>> {
    let mut listeners = Vec::new();
    for (host, port) in places {
        let failed = |error: io::Error| {
            let in_use = error.kind() == io::ErrorKind::AddrInUse;
            let hint = if in_use { format!("; set {variable} to a free port") } else { String::new() };
            io::Error::new(error.kind(), format!("cannot listen on {host} port {port}: {error}{hint}"))
        };
        for addr in resolve(host, port).map_err(failed)? {
            listeners.push(smol::block_on(TcpListener::bind(addr)).map_err(failed)?);
        }
    }
    Ok(listeners)
}

/// Where they listen, now that the system has said so.
///
/// # Errors
/// It does not.
pub fn addresses(listeners: &[TcpListener]) -> io::Result<Vec<SocketAddr>> {
    listeners.iter().map(TcpListener::local_addr).collect()
}

/// Once, at the start: nothing waits for the executor yet. `localhost` is not asked for: it needs no token, so it must not
/// become an address that other machines reach.
fn resolve(host: &str, port: u16) -> io::Result<Vec<SocketAddr>> {
    if is_localhost(host) {
        return Ok(vec![(Ipv4Addr::LOCALHOST, port).into()]);
    }
    Ok((host, port).to_socket_addrs()?.collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn localhost_is_one_address_of_this_machine() {
        for name in ["localhost", "LocalHost", "localhost."] {
            assert_eq!(resolve(name, 7).unwrap(), ["127.0.0.1:7".parse().unwrap()], "{name}");
        }
        assert_eq!(resolve("::1", 7).unwrap(), ["[::1]:7".parse().unwrap()]);
    }
}
