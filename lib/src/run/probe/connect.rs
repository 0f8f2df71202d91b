//! Connections with a deadline.
//!
//! Owns: which addresses are tried, and in which order. Must never: ask a resolver about a number or this machine.

use super::{Deadline, Failure};
use crate::endpoint::{Host, Server, Tcp, Unix};
use nix::errno::Errno;
use nix::sys::socket::{AddressFamily, SockFlag, SockType, UnixAddr, connect, setsockopt, socket, sockopt};
use nix::sys::time::TimeVal;
use std::io::{self, Read, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream, ToSocketAddrs};
use std::os::fd::AsRawFd;
use std::os::unix::net::UnixStream;
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::thread;
use std::time::Duration;

/// A connection of either kind.
pub trait Stream: Read + Write {
    /// How long each following call may take.
    fn set_timeouts(&self, timeout: Duration) -> io::Result<()>;
}

impl Stream for TcpStream {
    fn set_timeouts(&self, timeout: Duration) -> io::Result<()> {
        self.set_read_timeout(Some(timeout)).and_then(|()| self.set_write_timeout(Some(timeout)))
    }
}

impl Stream for UnixStream {
    fn set_timeouts(&self, timeout: Duration) -> io::Result<()> {
        self.set_read_timeout(Some(timeout)).and_then(|()| self.set_write_timeout(Some(timeout)))
    }
}

/// Connects to a server of either kind.
pub fn server(server: &Server, deadline: &Deadline) -> Result<Box<dyn Stream>, Failure> {
    Ok(match server {
        Server::Tcp(endpoint) => Box::new(tcp(endpoint, deadline)?),
        Server::Unix(endpoint) => Box::new(unix(endpoint, deadline)?),
    })
}

/// Connects to the first address that accepts. Where none does, the first one's failure is the answer.
pub fn tcp(endpoint: &Tcp, deadline: &Deadline) -> Result<TcpStream, Failure> {
    let addresses = addresses(endpoint, deadline)?;
    let mut failure = None;
    for (index, address) in addresses.iter().enumerate() {
        match attempt(address, addresses.len() - index, deadline) {
            Ok(stream) => return Ok(stream),
            Err(failed) => failure = failure.or(Some(naming(failed, &endpoint.host, address))),
        }
    }
    Err(failure.unwrap_or_else(|| Failure::No(String::from("the name has no address"))))
}

/// What a name stands for is part of the message.
fn naming(failure: Failure, host: &Host, address: &SocketAddr) -> Failure {
    match (failure, host) {
        (Failure::No(problem), Host::Name(_)) => Failure::No(format!("{} ({})", problem, address.ip())),
        (failure, _) => failure,
    }
}

/// Tries one address, for its share of the time that is left.
fn attempt(address: &SocketAddr, remaining: usize, deadline: &Deadline) -> Result<TcpStream, Failure> {
    let share = deadline.left()? / u32::try_from(remaining).unwrap_or(u32::MAX).max(1);
    let failed = |error: io::Error| Failure::of_attempt(&error, deadline);
    let stream = TcpStream::connect_timeout(address, share).map_err(failed)?;
    // Where nobody listens on a port that clients get, a connection can meet itself, and is accepted.
    match (stream.local_addr(), stream.peer_addr()) {
        (Ok(local), Ok(peer)) if local == peer => Err(Failure::of(Errno::ECONNREFUSED)),
        _ => Ok(stream),
    }
}

fn addresses(endpoint: &Tcp, deadline: &Deadline) -> Result<Vec<SocketAddr>, Failure> {
    let at = |address: IpAddr| SocketAddr::new(address, endpoint.port);
    match &endpoint.host {
        Host::Address(address) => Ok(vec![at(*address)]),
        Host::Local => Ok(vec![at(Ipv4Addr::LOCALHOST.into()), at(Ipv6Addr::LOCALHOST.into())]),
        Host::Name(name) => resolve(name, endpoint.port, deadline),
    }
}

/// Asks the system's resolver, which knows no deadline: what it is late with ends with this process.
fn resolve(name: &str, port: u16, deadline: &Deadline) -> Result<Vec<SocketAddr>, Failure> {
    let (sender, receiver) = channel();
    let question = (String::from(name), port);
    let ask = move || {
        let found = question.to_socket_addrs().map(Iterator::collect);
        // Nobody listens after the deadline.
        let _ = sender.send(found);
    };
    thread::Builder::new()
        .spawn(ask)
        .map_err(|error| Failure::Refused(format!("cannot start a thread for the resolver: {error}")))?;
    match receiver.recv_timeout(deadline.left()?) {
        Ok(Ok(addresses)) => Ok(addresses),
        // The standard library says at length what this line says already.
        Ok(Err(error)) => {
            let error = error.to_string();
            let reason = error.rsplit(": ").next().unwrap_or_default();
            Err(Failure::No(format!("the name can't be resolved: {reason}")))
        }
        Err(RecvTimeoutError::Timeout) => {
            Err(Failure::No(format!("the name was not resolved within {}", deadline.timeout)))
        }
        Err(RecvTimeoutError::Disconnected) => Err(Failure::No(String::from("the name can't be resolved"))),
    }
}

/// Connects to a Unix socket. A queue that is full makes it wait, which only the time to send limits.
pub fn unix(endpoint: &Unix, deadline: &Deadline) -> Result<UnixStream, Failure> {
    let address = match endpoint {
        Unix::Path(path) => UnixAddr::new(path.as_str()),
        Unix::Abstract(name) => UnixAddr::new_abstract(name.as_bytes()),
    };
    let address = address.map_err(Failure::of)?;
    let flags = SockFlag::SOCK_CLOEXEC;
    let descriptor = socket(AddressFamily::Unix, SockType::Stream, flags, None).map_err(Failure::of)?;
    loop {
        let left = deadline.left()?;
        let seconds = i64::try_from(left.as_secs()).unwrap_or(i64::MAX);
        let limit = TimeVal::new(seconds, i64::from(left.subsec_micros()));
        setsockopt(&descriptor, sockopt::SendTimeout, &limit).map_err(Failure::of)?;
        match connect(descriptor.as_raw_fd(), &address) {
            Ok(()) => return Ok(UnixStream::from(descriptor)),
            Err(Errno::EINTR) => {}
            Err(Errno::EAGAIN) => return Err(deadline.missed()),
            Err(errno) => return Err(Failure::of(errno)),
        }
    }
}
