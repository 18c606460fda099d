//! The hot path allocates nothing: whole frames are read where they lie.
#![allow(unsafe_code)] // A global allocator that counts cannot be written otherwise.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

use ringmain_proto::ws::encode::{write_frame, write_masked_frame};
use ringmain_proto::ws::{Opcode, Parser, ParserSettings, Role};

struct Counting;

thread_local! {
    static ALLOCATIONS: Cell<usize> = const { Cell::new(0) };
}

// SAFETY: every call is passed on unchanged; the counter is a plain cell that needs no allocation itself.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.set(ALLOCATIONS.get() + 1);
        // SAFETY: the caller's promises are those that `System` asks for.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: the caller's promises are those that `System` asks for.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

fn allocations_of(work: impl FnOnce()) -> usize {
    let before = ALLOCATIONS.get();
    work();
    ALLOCATIONS.get() - before
}

#[test]
fn whole_frames_are_parsed_without_allocation() {
    let settings = ParserSettings {
        role: Role::Server,
        message_bytes_max: 1 << 20,
        compression: false,
    };
    let mut stream = Vec::new();
    for bytes in [0, 10, 125, 126, 1000, 65_535, 65_536] {
        write_masked_frame(&mut stream, Opcode::Text, [1, 2, 3, 4], &vec![b'x'; bytes]);
        write_masked_frame(&mut stream, Opcode::Binary, [9, 8, 7, 6], &vec![0; bytes]);
        write_masked_frame(&mut stream, Opcode::Ping, [5; 4], b"ping");
    }
    let mut parser = Parser::new();
    let mut events = 0;
    let allocations = allocations_of(|| {
        let mut input = &mut stream[..];
        while let Ok((Some(_), rest)) = parser.next(&settings, input) {
            events += 1;
            input = rest;
        }
    });
    assert_eq!((events, allocations), (21, 0));
}

#[test]
fn frames_are_written_without_allocation_where_there_is_room() {
    let mut out = Vec::with_capacity(4096);
    let allocations = allocations_of(|| {
        write_frame(&mut out, Opcode::Text, b"hello");
        write_masked_frame(&mut out, Opcode::Binary, [1, 2, 3, 4], &[0; 1000]);
    });
    assert_eq!(allocations, 0);
}
