//! The socket of `notify: systemd`: who sends what sd_notify(3) says.
//!
//! Owns: the socket's address, the sender's credentials, and whose word counts. Must never: keep a descriptor that
//! somebody passes, or wait.
//!
//! The address is abstract (unix(7)): nothing has to lie in the run directory, which may be read-only or gone, and a
//! service under any user reaches it. All in the network namespace can send there, so each datagram's sender is
//! looked at: the kernel tells its pid and user.

use crate::name::ServiceName;
use crate::sys::process;
use crate::text::{self, Text};
use nix::cmsg_space;
use nix::errno::Errno;
use nix::sys::socket::sockopt::PassCred;
use nix::sys::socket::{
    AddressFamily, ControlMessageOwned, MsgFlags, SockFlag, SockType, UnixAddr, UnixCredentials, bind, getsockname,
    recvmsg, setsockopt, socket,
};
use std::io::IoSliceMut;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};

/// So many descriptors can come with one datagram (SCM_MAX_FD of the kernel).
const MOST_DESCRIPTORS: usize = 253;

/// Makes the socket of a service. `boot` is a random number of this start of zei-init: the namespace of abstract
/// names may be shared with other containers and the host.
///
/// # Errors
/// EADDRINUSE where somebody has taken the name; what socket(2) says.
pub fn make(boot: u64, service: ServiceName) -> Result<OwnedFd, Errno> {
    let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
    let made = socket(AddressFamily::Unix, SockType::Datagram, flags, None)?;
    // Before anybody can send.
    setsockopt(&made, PassCred, &true)?;
    let name: Text<100> = text::format(format_args!("zei/{boot:016x}/{service}"));
    bind(made.as_raw_fd(), &UnixAddr::new_abstract(name.as_bytes())?)?;
    Ok(made)
}

/// The socket in a supervisor.
#[derive(Debug)]
pub struct Socket(OwnedFd);

/// Who has sent a datagram. A process of another PID namespace has pid 0; of one that has ended since, the pid may
/// be another's.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Sender {
    /// Its pid.
    pub pid: u32,
    /// Its user.
    pub uid: u32,
}

impl Socket {
    /// Over what [`make`] has made.
    pub fn over(descriptor: OwnedFd) -> Socket {
        Socket(descriptor)
    }

    /// As NOTIFY_SOCKET has it: `@` and the name.
    pub fn address(&self) -> Option<Text<108>> {
        let address: UnixAddr = getsockname(self.0.as_raw_fd()).ok()?;
        Some(text::format(format_args!("@{}", core::str::from_utf8(address.as_abstract()?).ok()?)))
    }

    /// The next datagram: its length and sender. Descriptors that come along are closed before this returns.
    ///
    /// # Errors
    /// EAGAIN where there is none; ENOBUFS for one whose sender can't be told, as this process has no room for the
    /// descriptors that came along: it is dropped.
    pub fn receive(&self, buffer: &mut [u8]) -> Result<(usize, Sender), Errno> {
        self.get(buffer, MsgFlags::empty())
    }

    /// The same, but it stays where it is until it is received: who is killed before it has recorded what was said leaves
    /// it to its successor.
    ///
    /// # Errors
    /// As [`Socket::receive`].
    pub fn look(&self, buffer: &mut [u8]) -> Result<(usize, Sender), Errno> {
        self.get(buffer, MsgFlags::MSG_PEEK)
    }

    #[inline(never)]
    fn get(&self, buffer: &mut [u8], flags: MsgFlags) -> Result<(usize, Sender), Errno> {
        let mut control = cmsg_space!(UnixCredentials, [RawFd; MOST_DESCRIPTORS]);
        let mut parts = [IoSliceMut::new(buffer)];
        let flags = flags | MsgFlags::MSG_CMSG_CLOEXEC | MsgFlags::MSG_DONTWAIT;
        let message = recvmsg::<()>(self.0.as_raw_fd(), &mut parts, Some(&mut control), flags)?;
        let mut sender = None;
        for part in message.cmsgs()? {
            match part {
                ControlMessageOwned::ScmCredentials(who) => {
                    let pid = u32::try_from(who.pid()).unwrap_or(0);
                    sender = Some(Sender { pid, uid: who.uid() });
                }
                ControlMessageOwned::ScmRights(descriptors) => {
                    for descriptor in descriptors {
                        let _closed_in_any_case = nix::unistd::close(descriptor);
                    }
                }
                _ => {}
            }
        }
        sender.map(|sender| (message.bytes, sender)).ok_or(Errno::ENOBUFS)
    }

    /// Takes the datagram that was looked at.
    pub fn take(&self) {
        let _looked_at = self.receive(&mut []);
    }

    /// Throws away what was sent to an earlier run.
    pub fn drain(&self) {
        // Whoever sends without end is not waited for.
        for _datagram in 0..1000 {
            if self.receive(&mut []) == Err(Errno::EAGAIN) {
                return;
            }
        }
    }
}

impl AsFd for Socket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

impl Sender {
    /// Whether its word counts for a service of this supervisor under the user `uid`: it is of that user or root, or
    /// a process of the service under whatever user. By its user even where it has ended already, as systemd-notify
    /// has when its word is read; and nobody in another PID namespace, whose root may be anybody.
    pub fn counts_for(&self, uid: u32) -> bool {
        self.pid != 0 && (self.uid == uid || self.uid == 0 || process::is_descendant(self.pid))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
    use nix::sys::socket::{ControlMessage, sendmsg};
    use nix::unistd::pipe;
    use std::io::IoSlice;
    use std::process::Command;

    fn service(name: &str) -> (Socket, UnixAddr) {
        let boot = u64::from(std::process::id()) << 32;
        let socket = Socket::over(make(boot, ServiceName::parse(name).unwrap()).unwrap());
        let address = socket.address().unwrap();
        assert_eq!(address.as_str(), format!("@zei/{boot:016x}/{name}"));
        let name = address.as_str().strip_prefix('@').unwrap().to_owned();
        (socket, UnixAddr::new_abstract(name.as_bytes()).unwrap())
    }

    fn send(to: &UnixAddr, text: &[u8], descriptors: &[RawFd]) {
        let sender = socket(AddressFamily::Unix, SockType::Datagram, SockFlag::SOCK_CLOEXEC, None).unwrap();
        let rights = [ControlMessage::ScmRights(descriptors)];
        let rights = if descriptors.is_empty() { &[][..] } else { &rights };
        let sent = sendmsg(sender.as_raw_fd(), &[IoSlice::new(text)], rights, MsgFlags::empty(), Some(to));
        assert_eq!(sent, Ok(text.len()));
    }

    #[test]
    fn a_datagram_comes_with_its_sender_and_one_after_the_other() {
        let (socket, address) = service("plain");
        let mut buffer = [0; 64];
        assert_eq!(socket.receive(&mut buffer), Err(Errno::EAGAIN));
        send(&address, b"READY=1", &[]);
        send(&address, b"", &[]);
        let own = Sender { pid: std::process::id(), uid: nix::unistd::geteuid().as_raw() };
        assert_eq!(socket.look(&mut buffer), Ok((7, own)));
        assert_eq!(socket.receive(&mut buffer), Ok((7, own)));
        assert!(buffer.starts_with(b"READY=1"));
        assert_eq!(socket.receive(&mut buffer), Ok((0, own)));
        assert_eq!(socket.receive(&mut buffer), Err(Errno::EAGAIN));
    }

    #[test]
    fn a_barrier_is_over_once_it_is_received_however_many_descriptors_come() {
        let (socket, address) = service("barrier");
        let (ear, barrier) = pipe().unwrap();
        send(&address, b"BARRIER=1", &vec![barrier.as_raw_fd(); MOST_DESCRIPTORS]);
        drop(barrier);
        let is_over = || {
            let mut polled = [PollFd::new(ear.as_fd(), PollFlags::empty())];
            poll(&mut polled, PollTimeout::ZERO).unwrap();
            polled[0].revents().unwrap().contains(PollFlags::POLLHUP)
        };
        let mut buffer = [0; 64];
        assert_eq!(socket.look(&mut buffer).unwrap().0, 9);
        assert!(!is_over());
        assert_eq!(socket.receive(&mut buffer).unwrap().0, 9);
        assert!(is_over());
    }

    #[test]
    fn nothing_of_an_earlier_run_is_left_after_a_drain() {
        let (socket, address) = service("drained");
        let (ear, barrier) = pipe().unwrap();
        for _datagram in 0..5 {
            send(&address, b"READY=1", &[barrier.as_raw_fd()]);
        }
        drop(barrier);
        socket.drain();
        assert_eq!(socket.receive(&mut [0; 64]), Err(Errno::EAGAIN));
        assert_eq!(nix::unistd::read(&ear, &mut [0; 1]), Ok(0));
    }

    #[test]
    fn a_name_that_is_taken_is_an_error_and_two_services_have_two() {
        let (_one, _) = service("one");
        let (_two, _) = service("two");
        let boot = u64::from(std::process::id()) << 32;
        assert_eq!(make(boot, ServiceName::parse("one").unwrap()).unwrap_err(), Errno::EADDRINUSE);
    }

    #[test]
    fn the_word_of_the_user_of_root_and_of_any_process_of_the_service_counts_and_no_other() {
        let mut child = Command::new("sleep").arg("1000").spawn().unwrap();
        let of = |pid, uid| Sender { pid, uid };
        let (child_pid, gone) = (child.id(), i32::MAX.unsigned_abs());
        for (sender, counts) in [
            (of(gone, 77), true),
            (of(gone, 0), true),
            (of(gone, 78), false),
            (of(child_pid, 78), true),
            (of(std::process::id(), 78), false),
            (of(1, 78), false),
            (of(0, 77), false),
            (of(0, 0), false),
        ] {
            assert_eq!(sender.counts_for(77), counts, "{sender:?}");
        }
        child.kill().unwrap();
        child.wait().unwrap();
        assert!(!of(child_pid, 78).counts_for(77));
    }
}
