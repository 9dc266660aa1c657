//! Ten minutes of everything that most installations do: memory and p99 must stay flat.

use petsem_integration::http::Request;

use crate::cases::{Case, Span, boots, reads, writes};
use crate::failure::Failure;
use crate::random;
use crate::scene::Scene;

/// How often the mix is repeated before its requests are sent again, with other values.
const TURNS: usize = 5_000;

pub(super) const CASES: &[Case] = &[Case {
    span: Span::Long,
    ..Case::new("long", "10 minutes: 14 boots to 3 reads with a JWT, 2 lists and 1 set", prepare)
}];

fn prepare(scene: &Scene) -> Result<Vec<Request>, Failure> {
    let mut parts = [
        (14, boots::of_all_apps(scene)?),
        (3, reads::read(scene)?),
        (2, reads::list(scene)?),
        (1, writes::set(scene)?),
    ];
    let mut mixed = Vec::new();
    for (share, part) in &mut parts {
        random::shuffle(part);
        mixed.extend(part.iter().cycle().take(*share * TURNS).cloned());
    }
    Ok(mixed)
}
