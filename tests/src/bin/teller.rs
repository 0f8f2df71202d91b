//! Says something of its service as sd_notify(3) has it: `teller LINE...` sends the lines as one datagram to the
//! socket that NOTIFY_SOCKET names, and ends, as systemd-notify does.

use std::io;
use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::net::{SocketAddr, UnixDatagram};

fn main() -> io::Result<()> {
    let lines: Vec<String> = std::env::args().skip(1).collect();
    let address = std::env::var_os("NOTIFY_SOCKET").unwrap_or_default();
    let name = address.as_bytes().strip_prefix(b"@").ok_or(io::ErrorKind::InvalidInput)?;
    let address = SocketAddr::from_abstract_name(name)?;
    UnixDatagram::unbound()?.send_to_addr(lines.join("\n").as_bytes(), &address).map(drop)
}
