//! Many sends in one system call.
//!
//! A send to a socket that does not block runs to its end inside the submission of the ring: when the call
//! returns, all are done. So nothing is ever in flight, and the bytes need no owner beyond the call, as with
//! send(2), while entering the kernel and finding the way to the socket are paid once for all of them.
//!
//! The ring is the sender's own. The runtime's would hand the completions to tasks, one each.

use std::io::{self, IoSlice};
use std::os::fd::RawFd;

use io_uring_06::{IoUring, opcode, types};

use crate::driver::Backend;
use crate::process;

/// What one socket of this thread is sent.
pub struct Sending<'a> {
    /// The socket. One that is not open is answered with EBADF.
    pub fd: RawFd,
    /// The bytes, in order.
    pub slices: &'a [IoSlice<'a>],
}

/// Sends in one submission.
const RING_ENTRIES: u32 = 256;
/// So few are sent by a call each: the ring's own cost is about that of two.
const CALLS_MAX: usize = 2;
/// Exit code of an internal error.
const EXIT_INTERNAL: i32 = 70;
const FLAGS: libc::c_int = libc::MSG_DONTWAIT | libc::MSG_NOSIGNAL;

/// Sends for the sockets of the thread that made it.
pub struct BatchSender {
    ring: Option<IoUring>,
    /// Headers of the sends of several slices.
    headers: Vec<libc::msghdr>,
    /// The kernel's answers of one submission, in the order of the sends.
    answers: Vec<i32>,
}

impl BatchSender {
    /// A sender by the ring, or by direct calls where the thread runs on epoll.
    ///
    /// # Errors
    /// The ring could not be made.
    pub fn new(backend: Backend) -> io::Result<Self> {
        Ok(BatchSender {
            ring: match backend {
                Backend::Uring => Some(IoUring::new(RING_ENTRIES)?),
                Backend::Epoll => None,
            },
            headers: Vec::new(),
            answers: Vec::new(),
        })
    }

    /// Sends without waiting, and appends to `results` how many bytes each socket took, in the order of
    /// `sendings`: `WouldBlock` if it takes nothing now.
    pub fn send(&mut self, sendings: &[Sending<'_>], results: &mut Vec<io::Result<usize>>) {
        let Some(ring) = &mut self.ring else {
            return results.extend(sendings.iter().map(send_now));
        };
        if sendings.len() <= CALLS_MAX {
            return results.extend(sendings.iter().map(send_now));
        }
        for sendings in sendings.chunks(RING_ENTRIES as usize) {
            self.headers.clear();
            self.headers.extend(sendings.iter().map(header));
            self.answers.clear();
            self.answers.resize(sendings.len(), 0);
            submit(ring, sendings, &self.headers, &mut self.answers);
            results.extend(self.answers.iter().map(|&answer| match answer {
                0.. => Ok(answer as usize),
                _ => Err(io::Error::from_raw_os_error(-answer)),
            }));
        }
    }
}

/// Makes the sends of one submission, of which there are no more than the ring has entries.
fn submit(
    ring: &mut IoUring,
    sendings: &[Sending<'_>],
    headers: &[libc::msghdr],
    answers: &mut [i32],
) {
    for ((index, sending), header) in (0..).zip(sendings).zip(headers) {
        let fd = types::Fd(sending.fd);
        let entry = match sending.slices {
            [slice] => opcode::Send::new(fd, slice.as_ptr(), slice.len() as u32)
                .flags(FLAGS)
                .build(),
            _ => opcode::SendMsg::new(fd, header).flags(FLAGS as u32).build(),
        };
        // SAFETY: this function returns only when the send is done, and until then its caller's borrows
        // keep the slices and headers where they are.
        let pushed = unsafe { ring.submission().push(&entry.user_data(index)) };
        assert!(pushed.is_ok(), "the ring is empty between two submissions");
    }
    let mut missing = sendings.len();
    while missing > 0 {
        match ring.submit_and_wait(missing) {
            Ok(_) => {}
            // Interrupted, or short of memory for a moment. If it lasts, the watchdog ends the process.
            Err(error)
                if matches!(
                    error.raw_os_error(),
                    Some(libc::EINTR | libc::EAGAIN | libc::EBUSY)
                ) => {}
            // The kernel may still refer to the bytes: neither to return nor to unwind is an option.
            Err(error) => {
                process::last_words(&format!("the ring for sends has failed: {error}\n"));
                process::exit_now(EXIT_INTERNAL);
            }
        }
        for completion in ring.completion() {
            if let Some(answer) = answers.get_mut(completion.user_data() as usize) {
                *answer = completion.result();
            }
            missing -= 1;
        }
    }
}

fn header(sending: &Sending<'_>) -> libc::msghdr {
    // SAFETY: an all-zero msghdr is valid: no address, no slices, no control data.
    let mut header: libc::msghdr = unsafe { std::mem::zeroed() };
    // IoSlice has the layout of iovec, as its documentation promises.
    header.msg_iov = sending.slices.as_ptr().cast_mut().cast();
    header.msg_iovlen = sending.slices.len();
    header
}

/// One send by a call of its own, without waiting; returns how many bytes the socket took.
///
/// # Errors
/// `WouldBlock` if it takes nothing now.
pub fn send_now(sending: &Sending<'_>) -> io::Result<usize> {
    let bytes = if let [slice] = sending.slices {
        // SAFETY: the slice is readable for its length.
        unsafe { libc::send(sending.fd, slice.as_ptr().cast(), slice.len(), FLAGS) }
    } else {
        let header = header(sending);
        // SAFETY: the header's slices are readable while the call lasts, and it writes to none.
        unsafe { libc::sendmsg(sending.fd, &raw const header, FLAGS) }
    };
    usize::try_from(bytes).map_err(|_| io::Error::last_os_error())
}

#[cfg(test)]
#[allow(clippy::unwrap_used)] // A test that meets an unexpected error fails by saying so.
mod tests {
    use std::io::Read;
    use std::net::Shutdown;
    use std::os::fd::AsRawFd;
    use std::os::unix::net::UnixStream;

    use super::*;

    fn each_backend(test: fn(BatchSender)) {
        for backend in [Backend::Epoll, Backend::Uring] {
            // Where io_uring is forbidden, only the other is to be had.
            if let Ok(sender) = BatchSender::new(backend) {
                test(sender);
            }
        }
    }

    #[test]
    fn more_sends_than_the_ring_has_entries_arrive_whole_and_in_order() {
        each_backend(|mut sender| {
            let mut pairs: Vec<_> = (0..2 * RING_ENTRIES + 1)
                .map(|_| UnixStream::pair().unwrap())
                .collect();
            let payloads: Vec<[Vec<u8>; 2]> = (0..pairs.len())
                .map(|index| [vec![index as u8; 1 + index % 9], vec![0xff; index % 5]])
                .collect();
            // Every other one in two slices.
            let slices: Vec<Vec<IoSlice<'_>>> = payloads
                .iter()
                .enumerate()
                .map(|(index, payload)| {
                    payload[..1 + index % 2]
                        .iter()
                        .map(|p| IoSlice::new(p))
                        .collect()
                })
                .collect();
            let sendings: Vec<_> = pairs
                .iter()
                .zip(&slices)
                .map(|((near, _), slices)| Sending {
                    fd: near.as_raw_fd(),
                    slices,
                })
                .collect();
            let mut results = Vec::new();
            sender.send(&sendings, &mut results);
            assert_eq!(results.len(), sendings.len());
            for ((result, slices), (near, far)) in results.iter().zip(&slices).zip(&mut pairs) {
                let expected = slices
                    .iter()
                    .flat_map(|slice| slice.to_vec())
                    .collect::<Vec<u8>>();
                assert_eq!(*result.as_ref().unwrap(), expected.len());
                near.shutdown(Shutdown::Write).unwrap();
                let mut received = Vec::new();
                far.read_to_end(&mut received).unwrap();
                assert_eq!(received, expected);
            }
        });
    }

    #[test]
    fn a_full_a_closed_and_a_missing_socket_concern_nobody_else() {
        each_backend(|mut sender| {
            let (full, _full_far) = UnixStream::pair().unwrap();
            let (gone, gone_far) = UnixStream::pair().unwrap();
            let (well, mut well_far) = UnixStream::pair().unwrap();
            drop(gone_far);
            let much = vec![7; 64 * 1024 * 1024];
            let much = [IoSlice::new(&much)];
            let little = [IoSlice::new(b"well")];
            let sendings = [
                Sending {
                    fd: full.as_raw_fd(),
                    slices: &much,
                },
                Sending {
                    fd: full.as_raw_fd(),
                    slices: &little,
                },
                Sending {
                    fd: gone.as_raw_fd(),
                    slices: &little,
                },
                Sending {
                    fd: -1,
                    slices: &little,
                },
                Sending {
                    fd: well.as_raw_fd(),
                    slices: &little,
                },
            ];
            let mut results = Vec::new();
            sender.send(&sendings, &mut results);
            let [Ok(part), Err(blocked), Err(ended), Err(missing), Ok(4)] = &results[..] else {
                panic!("{results:?}");
            };
            assert!((1..much[0].len()).contains(part));
            assert_eq!(blocked.kind(), io::ErrorKind::WouldBlock);
            assert_eq!(ended.kind(), io::ErrorKind::BrokenPipe);
            assert_eq!(missing.raw_os_error(), Some(libc::EBADF));
            let mut received = [0; 4];
            well_far.read_exact(&mut received).unwrap();
            assert_eq!(&received, b"well");
        });
    }
}
