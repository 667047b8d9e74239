//! Telling the service manager how far we are: the protocol of sd_notify(3), one datagram a state.

use std::ffi::OsStr;
use std::io;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};

/// Whom to tell: the socket that NOTIFY_SOCKET names, or nobody.
#[derive(Debug, Default)]
pub struct Notify(Option<SocketAddr>);

impl Notify {
    /// Takes the value of NOTIFY_SOCKET: a path, or an abstract name after `@`.
    pub fn to(name: Option<&OsStr>) -> Notify {
        Notify(name.map(OsStr::as_bytes).filter(|name| !name.is_empty()).and_then(|name| {
            let address = match name.strip_prefix(b"@") {
                Some(name) => SocketAddr::from_abstract_name(name),
                None => SocketAddr::from_pathname(OsStr::from_bytes(name)),
            };
            address.map_err(|error| log::warn!(error:% = error; "NOTIFY_SOCKET names no socket")).ok()
        }))
    }

    /// What the service is for can be used from now on.
    pub fn ready(&self) {
        self.tell("READY=1");
    }

    /// It is on its way out.
    pub fn stopping(&self) {
        self.tell("STOPPING=1");
    }

    fn tell(&self, state: &str) {
        let Some(address) = &self.0 else { return };
        let sent = UnixDatagram::unbound().and_then(|socket| {
            // A manager that does not read must not hold us up.
            socket.set_nonblocking(true)?;
            socket.send_to_addr(state.as_bytes(), address)
        });
        if let Err(error) =
            sent.and_then(|bytes| if bytes == state.len() { Ok(()) } else { Err(io::ErrorKind::WriteZero.into()) })
        {
            log::warn!(state, error:% = error; "cannot tell the service manager");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_manager_hears_each_state_by_path_or_abstract_name() {
        let unique = format!("openclaw-trace-notify-{}", std::process::id());
        let path = std::env::temp_dir().join(&unique);
        let by_path = UnixDatagram::bind(&path).unwrap();
        let by_name = UnixDatagram::bind_addr(&SocketAddr::from_abstract_name(unique.as_bytes()).unwrap()).unwrap();
        for (socket, name) in [(by_path, path.clone().into_os_string()), (by_name, format!("@{unique}").into())] {
            let notify = Notify::to(Some(&name));
            notify.ready();
            notify.stopping();
            let mut states = [0; 64];
            for state in ["READY=1", "STOPPING=1"] {
                let length = socket.recv(&mut states).unwrap();
                assert_eq!(&states[..length], state.as_bytes());
            }
        }
        std::fs::remove_file(path).unwrap();
    }

    #[test]
    fn nobody_to_tell_is_no_fault() {
        Notify::to(None).ready();
        Notify::to(Some(OsStr::new(""))).ready();
        Notify::to(Some(OsStr::new("/nowhere/at/all"))).stopping();
    }
}
