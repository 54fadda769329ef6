//! A dictionary of the forms of all secrets, in which the longest one at a place of a text is found in a time that hardly
//! depends on how many there are.

/// Fewer bytes are no form that is looked for inside a text.
pub const SHORTEST: usize = 4;

/// More bytes of a secret than that are not compared where it is cut.
const LONGEST_CUT: usize = 1 << 12;

/// Bits of the filter; most places of a text begin no secret, and are told by one look.
const BITS: usize = 1 << 13;

/// Forms of secrets.
#[derive(Debug)]
pub struct Forms {
    /// Sorted, so that all that are a beginning of another come before it.
    sorted: Vec<Vec<u8>>,
    /// For each form, the longest other one that is a beginning of it.
    shorter: Vec<Option<usize>>,
    filter: Vec<u64>,
}

impl Forms {
    /// The dictionary of `forms`.
    pub fn new(mut forms: Vec<Vec<u8>>) -> Self {
        forms.retain(|form| form.len() >= SHORTEST);
        forms.sort_unstable();
        forms.dedup();
        let mut filter = vec![0; BITS / 64];
        let mut shorter = Vec::with_capacity(forms.len());
        let mut open: Vec<usize> = Vec::new();
        for (at, form) in forms.iter().enumerate() {
            while open.last().and_then(|last| forms.get(*last)).is_some_and(|last| !form.starts_with(last)) {
                open.pop();
            }
            shorter.push(open.last().copied());
            open.push(at);
            if let Some((word, bit)) = place(form)
                && let Some(word) = filter.get_mut(word)
            {
                *word |= bit;
            }
        }
        Self { sorted: forms, shorter, filter }
    }

    /// The length of the longest form that `rest` begins with.
    pub fn longest_at(&self, rest: &[u8]) -> Option<usize> {
        let (word, bit) = place(rest)?;
        if self.filter.get(word)? & bit == 0 {
            return None;
        }
        let mut at = self.sorted.partition_point(|form| form.as_slice() <= rest).checked_sub(1)?;
        loop {
            let form = self.sorted.get(at)?;
            if rest.starts_with(form) {
                return Some(form.len());
            }
            at = (*self.shorter.get(at)?)?;
        }
    }

    /// How many of the last `bytes` are the beginning of a form whose rest is cut off.
    pub fn cut_at_end(&self, bytes: &[u8]) -> Option<usize> {
        (SHORTEST..=bytes.len().min(LONGEST_CUT)).rev().find(|length| {
            bytes.get(bytes.len() - length..).is_some_and(|end| {
                let at = self.sorted.partition_point(|form| form.as_slice() < end);
                self.sorted.get(at).is_some_and(|form| form.starts_with(end))
            })
        })
    }

    /// The dictionary of the same forms, each from its end to its beginning.
    pub fn reversed(&self) -> Self {
        Self::new(self.sorted.iter().map(|form| form.iter().rev().copied().collect()).collect())
    }
}

/// Where the filter has the first bytes of `text`.
fn place(text: &[u8]) -> Option<(usize, u64)> {
    let first = u32::from_le_bytes(*text.first_chunk::<SHORTEST>()?);
    let hash = usize::try_from(first.wrapping_mul(0x9e37_79b1) >> 19).ok()? % BITS;
    Some((hash / 64, 1 << (hash % 64)))
}
