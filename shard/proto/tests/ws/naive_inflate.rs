//! An inflater with no cleverness, after RFC 1951: it reads bit by bit.

/// What became of a payload.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Inflated {
    pub message: Vec<u8>,
    /// The longest way back that was referred to.
    pub distance_max: usize,
    /// Blocks that were marked as the last.
    pub final_blocks: usize,
}

/// No stream of blocks, or not one that ends where the payload of a message must.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Invalid;

/// Restores a message as RFC 7692, section 7.2.2, says; `None` if it has more than `bytes_max` bytes.
pub fn inflate(
    payload: &[u8],
    history: &[u8],
    bytes_max: usize,
) -> Option<Result<Inflated, Invalid>> {
    if payload.is_empty() {
        return Some(Ok(Inflated::default()));
    }
    let input = [payload, &[0x00, 0x00, 0xFF, 0xFF]].concat();
    let mut naive = Naive {
        bits: Bits {
            input: &input,
            position: 0,
        },
        out: history.to_vec(),
        begin: history.len(),
        bytes_max,
        distance_max: 0,
        final_blocks: 0,
    };
    let result = naive.blocks(payload.len());
    if naive.out.len() - naive.begin > bytes_max {
        return None;
    }
    Some(result.map(|()| Inflated {
        message: naive.out[naive.begin..].to_vec(),
        distance_max: naive.distance_max,
        final_blocks: naive.final_blocks,
    }))
}

struct Bits<'i> {
    input: &'i [u8],
    /// In bits.
    position: usize,
}

impl Bits<'_> {
    fn take(&mut self, count: usize) -> Result<usize, Invalid> {
        let mut value = 0;
        for place in 0..count {
            let byte = self.input.get(self.position / 8).ok_or(Invalid)?;
            value |= usize::from(byte >> (self.position % 8) & 1) << place;
            self.position += 1;
        }
        Ok(value)
    }

    fn align(&mut self) {
        self.position = self.position.next_multiple_of(8);
    }
}

struct Naive<'i> {
    bits: Bits<'i>,
    out: Vec<u8>,
    begin: usize,
    bytes_max: usize,
    distance_max: usize,
    final_blocks: usize,
}

const LENGTH_BASE: [usize; 29] = [
    3, 4, 5, 6, 7, 8, 9, 10, 11, 13, 15, 17, 19, 23, 27, 31, 35, 43, 51, 59, 67, 83, 99, 115, 131,
    163, 195, 227, 258,
];
const LENGTH_EXTRA: [usize; 29] = [
    0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 2, 2, 2, 2, 3, 3, 3, 3, 4, 4, 4, 4, 5, 5, 5, 5, 0,
];
const DISTANCE_BASE: [usize; 30] = [
    1, 2, 3, 4, 5, 7, 9, 13, 17, 25, 33, 49, 65, 97, 129, 193, 257, 385, 513, 769, 1025, 1537,
    2049, 3073, 4097, 6145, 8193, 12289, 16385, 24577,
];
const CODE_LENGTH_ORDER: [usize; 19] = [
    16, 17, 18, 0, 8, 7, 9, 6, 10, 5, 11, 4, 12, 3, 13, 2, 14, 1, 15,
];

impl Naive<'_> {
    /// All blocks; `payload_bytes` is where the payload ends and the tail begins.
    fn blocks(&mut self, payload_bytes: usize) -> Result<(), Invalid> {
        loop {
            let is_final = self.bits.take(1)? == 1;
            match self.bits.take(2)? {
                0 => self.stored()?,
                1 => self.fixed()?,
                2 => self.dynamic()?,
                _ => return Err(Invalid),
            }
            if self.is_too_long() {
                return Ok(());
            }
            if is_final {
                self.bits.align();
                self.final_blocks += 1;
            }
            // A sender may leave out the empty block behind one that is marked as the last.
            let ends_early = is_final && self.bits.position == payload_bytes * 8;
            if ends_early || self.bits.position == self.bits.input.len() * 8 {
                return Ok(());
            }
        }
    }

    fn is_too_long(&self) -> bool {
        self.out.len() - self.begin > self.bytes_max
    }

    fn stored(&mut self) -> Result<(), Invalid> {
        self.bits.align();
        let (length, complement) = (self.bits.take(16)?, self.bits.take(16)?);
        if length != complement ^ 0xFFFF {
            return Err(Invalid);
        }
        for _ in 0..length {
            let byte = self.bits.take(8)? as u8;
            self.out.push(byte);
            if self.is_too_long() {
                break;
            }
        }
        Ok(())
    }

    fn fixed(&mut self) -> Result<(), Invalid> {
        let mut literals = vec![8; 144];
        literals.extend([9; 112]);
        literals.extend([7; 24]);
        literals.extend([8; 8]);
        self.codes(&Code::new(&literals)?, &Code::new(&[5; 30])?)
    }

    fn dynamic(&mut self) -> Result<(), Invalid> {
        let literals = self.bits.take(5)? + 257;
        let distances = self.bits.take(5)? + 1;
        let lengths = self.bits.take(4)? + 4;
        if literals > 286 || distances > 30 {
            return Err(Invalid);
        }
        let mut code_lengths = [0; 19];
        for &place in &CODE_LENGTH_ORDER[..lengths] {
            code_lengths[place] = self.bits.take(3)?;
        }
        let code = Code::complete(&code_lengths)?;
        let mut all = Vec::new();
        while all.len() < literals + distances {
            let (value, times) = match code.read(&mut self.bits)? {
                16 => (*all.last().ok_or(Invalid)?, 3 + self.bits.take(2)?),
                17 => (0, 3 + self.bits.take(3)?),
                18 => (0, 11 + self.bits.take(7)?),
                length => (length, 1),
            };
            all.extend(std::iter::repeat_n(value, times));
        }
        // Without a code for the end of the block it would have none.
        if all.len() != literals + distances || all[256] == 0 {
            return Err(Invalid);
        }
        let (literals, distances) = all.split_at(literals);
        self.codes(&Code::new(literals)?, &Code::new(distances)?)
    }

    fn codes(&mut self, literals: &Code, distances: &Code) -> Result<(), Invalid> {
        loop {
            match literals.read(&mut self.bits)? {
                256 => return Ok(()),
                literal @ 0..=255 => self.out.push(literal as u8),
                length => self.copy(length - 257, distances)?,
            }
            if self.is_too_long() {
                return Ok(());
            }
        }
    }

    fn copy(&mut self, length: usize, distances: &Code) -> Result<(), Invalid> {
        let extra = *LENGTH_EXTRA.get(length).ok_or(Invalid)?;
        let length = LENGTH_BASE[length] + self.bits.take(extra)?;
        let distance = distances.read(&mut self.bits)?;
        let extra = distance.saturating_sub(2) / 2;
        let distance = *DISTANCE_BASE.get(distance).ok_or(Invalid)? + self.bits.take(extra)?;
        let from = self.out.len().checked_sub(distance).ok_or(Invalid)?;
        self.distance_max = self.distance_max.max(distance);
        for place in from..from + length {
            self.out.push(self.out[place]);
        }
        Ok(())
    }
}

/// What each code word stands for; a word is written with a 1 before its bits.
struct Code(Vec<Option<usize>>);

impl Code {
    /// RFC 1951, 3.2.2. A single code may be of one bit, and none at all is allowed where none is used (3.2.7).
    fn new(lengths: &[usize]) -> Result<Self, Invalid> {
        let used = lengths.iter().filter(|&&length| length > 0);
        let is_single = used.clone().count() <= 1 && used.clone().all(|&length| length == 1);
        let fills = Self::room_left(lengths)?;
        // The fixed distances have 30 of 32 codes in use.
        let is_fixed = lengths.len() == 30 && lengths.iter().all(|&length| length == 5);
        if fills > 0 && !is_single && !is_fixed {
            return Err(Invalid);
        }
        Ok(Self::assign(lengths))
    }

    fn complete(lengths: &[usize]) -> Result<Self, Invalid> {
        match Self::room_left(lengths)? {
            0 => Ok(Self::assign(lengths)),
            _ => Err(Invalid),
        }
    }

    /// Code words of 15 bits that these leave.
    fn room_left(lengths: &[usize]) -> Result<usize, Invalid> {
        let used = lengths.iter().filter(|&&length| length > 0);
        (1_usize << 15)
            .checked_sub(used.map(|length| 1 << (15 - length)).sum())
            .ok_or(Invalid)
    }

    fn assign(lengths: &[usize]) -> Self {
        let mut words = vec![None; 1 << 16];
        let mut next = 0;
        for length in 1..=15 {
            next <<= 1;
            for (symbol, _) in lengths.iter().enumerate().filter(|(_, l)| **l == length) {
                words[1 << length | next] = Some(symbol);
                next += 1;
            }
        }
        Code(words)
    }

    fn read(&self, bits: &mut Bits<'_>) -> Result<usize, Invalid> {
        let mut word = 0;
        for length in 1..=15 {
            word = word << 1 | bits.take(1)?;
            if let Some(symbol) = self.0[1 << length | word] {
                return Ok(symbol);
            }
        }
        Err(Invalid)
    }
}
