//! Many sends, or receives, in one system call.
//!
//! An operation on a socket that may not block runs to its end inside the submission of the ring: when the
//! call returns, all are done. So nothing is ever in flight, and the bytes need no owner beyond the call, as
//! with send(2) and recv(2), while entering the kernel is paid once for all of them.
//!
//! The ring is the batch's own. The runtime's would hand the completions to tasks, one each.

use std::io::{self, IoSlice};
use std::os::fd::RawFd;

use io_uring_06::squeue::Entry;
use io_uring_06::{IoUring, opcode, types};

use crate::driver::Backend;
use crate::process;

/// Operations in one submission.
const RING_ENTRIES: u32 = 256;
/// So few are made by a call each: the ring's own cost is about that of two.
const CALLS_MAX: usize = 2;
/// How often the kernel may refuse one submission for want of memory, which takes a second or so.
const REFUSALS_MAX: u32 = 1_000_000;
/// Exit code of an internal error.
const EXIT_INTERNAL: i32 = 70;
const FLAGS: libc::c_int = libc::MSG_DONTWAIT | libc::MSG_NOSIGNAL;

/// A ring for operations that end where they begin.
struct Batch {
    ring: IoUring,
    /// The kernel's answers of one submission, in the order of the operations.
    answers: Vec<i32>,
}

impl Batch {
    /// `None` where the thread runs on epoll.
    fn new(backend: Backend) -> io::Result<Option<Self>> {
        if backend == Backend::Epoll {
            return Ok(None);
        }
        Ok(Some(Batch {
            ring: IoUring::new(RING_ENTRIES)?,
            answers: Vec::new(),
        }))
    }

    /// Carries out operations, of which there are no more than the ring has entries, and appends what came
    /// of each.
    ///
    /// # Safety
    /// What the entries point to must stay valid for this call.
    unsafe fn run(
        &mut self,
        entries: impl Iterator<Item = Entry>,
        results: &mut Vec<io::Result<usize>>,
    ) {
        self.answers.clear();
        for (index, entry) in entries.enumerate() {
            // SAFETY: this function returns only when the operation is done, and its caller keeps until then
            // what the entry points to.
            let pushed = unsafe { self.ring.submission().push(&entry.user_data(index as u64)) };
            assert!(pushed.is_ok(), "the ring is empty between two submissions");
            self.answers.push(0);
        }
        let mut missing = self.answers.len();
        let mut refusals_left = REFUSALS_MAX;
        while missing > 0 {
            match self.ring.submit_and_wait(missing) {
                Ok(_) => {}
                // Interrupted, or short of memory for a moment.
                Err(error)
                    if refusals_left > 0
                        && matches!(
                            error.raw_os_error(),
                            Some(libc::EINTR | libc::EAGAIN | libc::EBUSY)
                        ) =>
                {
                    refusals_left -= 1;
                }
                // The kernel may still refer to the bytes: neither to return nor to unwind is an option.
                Err(error) => {
                    process::last_words(&format!(
                        "the ring for sends and receives has failed: {error}\n"
                    ));
                    process::exit_now(EXIT_INTERNAL);
                }
            }
            for completion in self.ring.completion() {
                if let Some(answer) = self.answers.get_mut(completion.user_data() as usize) {
                    *answer = completion.result();
                }
                missing -= 1;
            }
        }
        results.extend(self.answers.iter().map(|&answer| match answer {
            0.. => Ok(answer as usize),
            _ => Err(io::Error::from_raw_os_error(-answer)),
        }));
    }
}

/// What one socket of this thread is sent.
pub struct Sending<'a> {
    /// The socket. One that is not open is answered with EBADF.
    pub fd: RawFd,
    /// The bytes, in order.
    pub slices: &'a [IoSlice<'a>],
}

/// Sends for the sockets of the thread that made it.
pub struct BatchSender {
    batch: Option<Batch>,
    /// Headers of the sends of several slices.
    headers: Vec<libc::msghdr>,
}

impl BatchSender {
    /// A sender by the ring, or by direct calls where the thread runs on epoll.
    ///
    /// # Errors
    /// The ring could not be made.
    pub fn new(backend: Backend) -> io::Result<Self> {
        Ok(BatchSender {
            batch: Batch::new(backend)?,
            headers: Vec::new(),
        })
    }

    /// Sends without waiting, and appends to `results` how many bytes each socket took, in the order of
    /// `sendings`: `WouldBlock` if it takes nothing now.
    pub fn send(&mut self, sendings: &[Sending<'_>], results: &mut Vec<io::Result<usize>>) {
        let batch = match &mut self.batch {
            Some(batch) if sendings.len() > CALLS_MAX => batch,
            _ => return results.extend(sendings.iter().map(send_now)),
        };
        for sendings in sendings.chunks(RING_ENTRIES as usize) {
            self.headers.clear();
            self.headers.extend(sendings.iter().map(header));
            let entries = sendings.iter().zip(&self.headers).map(|(sending, header)| {
                let fd = types::Fd(sending.fd);
                match sending.slices {
                    [slice] => opcode::Send::new(fd, slice.as_ptr(), slice.len() as u32)
                        .flags(FLAGS)
                        .build(),
                    _ => opcode::SendMsg::new(fd, header).flags(FLAGS as u32).build(),
                }
            });
            // SAFETY: the slices are borrowed for longer than the call, and the headers are not touched in it.
            unsafe { batch.run(entries, results) };
        }
    }
}

/// Receives for the sockets of the thread that made it.
pub struct BatchReceiver {
    batch: Option<Batch>,
}

impl BatchReceiver {
    /// A receiver by the ring, or by direct calls where the thread runs on epoll.
    ///
    /// # Errors
    /// The ring could not be made.
    pub fn new(backend: Backend) -> io::Result<Self> {
        Ok(BatchReceiver {
            batch: Batch::new(backend)?,
        })
    }

    /// Receives without waiting, for each socket into its part of `parts`, and appends to `results` how many
    /// bytes came, in the order of `sockets`: `WouldBlock` if nothing is there, 0 at the end. There must be
    /// as many parts as sockets.
    pub fn receive<'a>(
        &mut self,
        sockets: &[RawFd],
        parts: impl Iterator<Item = &'a mut [u8]>,
        results: &mut Vec<io::Result<usize>>,
    ) {
        let mut both = sockets.iter().copied().zip(parts);
        let batch = match &mut self.batch {
            Some(batch) if sockets.len() > CALLS_MAX => batch,
            _ => return results.extend(both.map(|(fd, part)| receive_now(fd, part))),
        };
        for _ in 0..sockets.len().div_ceil(RING_ENTRIES as usize) {
            let entries = both.by_ref().take(RING_ENTRIES as usize).map(|(fd, part)| {
                opcode::Recv::new(types::Fd(fd), part.as_mut_ptr(), part.len() as u32)
                    .flags(FLAGS)
                    .build()
            });
            // SAFETY: the parts are borrowed for longer than the call, each by one operation alone.
            unsafe { batch.run(entries, results) };
        }
    }
}

/// One receive by a call of its own, without waiting; zero bytes mean the end.
///
/// # Errors
/// `WouldBlock` if nothing is there.
pub fn receive_now(fd: RawFd, buffer: &mut [u8]) -> io::Result<usize> {
    // SAFETY: the buffer is writable for its length.
    let bytes = unsafe {
        libc::recv(
            fd,
            buffer.as_mut_ptr().cast(),
            buffer.len(),
            libc::MSG_DONTWAIT,
        )
    };
    usize::try_from(bytes).map_err(|_| io::Error::last_os_error())
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
    use std::io::{Read, Write};
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
    fn each_socket_receives_what_is_its_own() {
        for backend in [Backend::Epoll, Backend::Uring] {
            let Ok(mut receiver) = BatchReceiver::new(backend) else {
                continue;
            };
            let mut pairs: Vec<_> = (0..RING_ENTRIES as usize + 5)
                .map(|_| UnixStream::pair().unwrap())
                .collect();
            for (index, (_, far)) in pairs.iter_mut().enumerate() {
                match index % 3 {
                    0 => far.write_all(&[index as u8; 7]).unwrap(),
                    1 => far.shutdown(Shutdown::Write).unwrap(),
                    _ => {}
                }
            }
            let sockets: Vec<_> = pairs.iter().map(|(near, _)| near.as_raw_fd()).collect();
            let mut buffer = vec![0; 5 * sockets.len()];
            let mut results = Vec::new();
            receiver.receive(&sockets, buffer.chunks_exact_mut(5), &mut results);
            assert_eq!(results.len(), sockets.len());
            for (index, (result, part)) in results.iter().zip(buffer.chunks_exact(5)).enumerate() {
                match (index % 3, result) {
                    (0, Ok(5)) => assert_eq!(part, [index as u8; 5]),
                    (1, Ok(0)) => {}
                    (2, Err(error)) => assert_eq!(error.kind(), io::ErrorKind::WouldBlock),
                    other => panic!("{other:?}"),
                }
            }
        }
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
