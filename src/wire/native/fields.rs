//! The fields of one object, borrowed from the body: which column each is for, and what is for none.

use std::borrow::Cow;
use std::fmt;

use serde::de::{Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;

use super::Invalid;
use super::names::{Column, Names};
use super::value::text;

/// An item of more keys is not looked at: four times what `attributes` can keep.
const KEYS_MAX: usize = 256;

/// Added to the rank of a name that stood inside `attributes`: it loses against all that stood outside.
const RANK_INSIDE: u8 = 128;

/// The fields of one item, or of an object inside it.
#[derive(Debug)]
pub(super) struct Fields<'a> {
    names: &'static Names,
    columns: [Option<Found<'a>>; Column::COUNT],
    /// Fields that are for no column, and those that lost against another name of their column.
    pub(super) extras: Vec<Extra<'a>>,
    /// Keys of extras that stood in two objects with two values: the second was kept.
    pub(super) displaced: Vec<Cow<'a, str>>,
    keys: usize,
    objects: u8,
}

/// A field that is for a column.
#[derive(Debug, Clone, Copy)]
pub(super) struct Found<'a> {
    /// What it was called.
    pub(super) name: &'static str,
    /// Its value; not null.
    pub(super) raw: &'a str,
    rank: u8,
}

/// A field that is for none.
#[derive(Debug)]
pub(super) struct Extra<'a> {
    /// What it was called; with the name of the object that it stood in, unless that was `attributes`.
    pub(super) key: Cow<'a, str>,
    /// Its value.
    pub(super) raw: &'a str,
    object: u8,
}

impl<'a> Fields<'a> {
    /// None yet.
    pub(super) fn new(names: &'static Names) -> Fields<'a> {
        let columns = [None; Column::COUNT];
        Fields { names, columns, extras: Vec::new(), displaced: Vec::new(), keys: 0, objects: 0 }
    }

    /// All fields of the object `raw`, which is called `name`.
    pub(super) fn of_object(names: &'static Names, name: &'static str, raw: &'a str) -> Result<Fields<'a>, Invalid> {
        let mut fields = Fields::new(names);
        if !raw.starts_with('{') {
            return Err(Invalid::new(name, "an object", raw));
        }
        each_field(raw, &mut |key, value| fields.place(key, value))
            .map_err(|e| Invalid { field: name.into(), message: e.to_string() })?;
        fields.bounded()
    }

    /// Puts one field where it belongs: null nowhere, a key that came before in its last value's place.
    pub(super) fn place(&mut self, key: Cow<'a, str>, raw: &'a str) {
        self.keys += 1;
        if self.keys > KEYS_MAX {
            return;
        }
        let Some(known) = self.names.find(&key) else { return self.keep(key, raw, 0) };
        let read = match known.column {
            Column::Attributes if raw.starts_with('{') => self.place_inside(raw, None),
            Column::Details if raw.starts_with('{') => self.place_inside(raw, Some(known.name)),
            Column::Attributes | Column::Details => Err(()),
            column => {
                self.set(column, Found { name: known.name, raw, rank: known.rank });
                Ok(())
            }
        };
        if read.is_err() {
            self.keep(key, raw, 0);
        }
    }

    /// The field that is for a column, if there is one.
    pub(super) fn column(&self, column: Column) -> Option<Found<'a>> {
        self.columns[column as usize]
    }

    /// Where two columns say the same, lets only `column` speak: the other goes with the extras.
    pub(super) fn prefer(&mut self, column: Column, other: Column) {
        if let (Some(_), Some(Found { name, raw, .. })) = (self.column(column), self.column(other)) {
            self.columns[other as usize] = None;
            self.keep(Cow::Borrowed(name), raw, 0);
        }
    }

    /// Forgets the extras that are called like `column`.
    pub(super) fn forget(&mut self, column: Column) {
        let names = self.names;
        self.extras.retain(|extra| names.find(&extra.key).is_none_or(|known| known.column != column));
    }

    /// Fills a column from a nested object. Where the item has one of its own, the nested one goes with the extras.
    pub(super) fn offer(&mut self, column: Column, found: Found<'a>) {
        self.set(column, Found { rank: found.rank.saturating_add(RANK_INSIDE), ..found });
    }

    /// Where a column's value is a list, makes it the first of it; the others go with the extras.
    pub(super) fn first_of_list(&mut self, column: Column) {
        let Some(list) = self.columns[column as usize].filter(|found| found.raw.starts_with('[')) else { return };
        let mut items = Vec::new();
        let read = each_item(list.raw, &mut |item| {
            if items.len() < 2 {
                items.push(item);
            }
        });
        if read.is_err() {
            return;
        }
        self.columns[column as usize] = items.first().map(|raw| Found { raw, ..list });
        if items.len() > 1 {
            self.keep(Cow::Borrowed(list.name), list.raw, 0);
        }
    }

    /// The same fields, unless the object has more keys than anything may have.
    pub(super) fn bounded(self) -> Result<Fields<'a>, Invalid> {
        if self.keys > KEYS_MAX {
            return Err(Invalid::new("", &format!("at most {KEYS_MAX} keys"), &self.keys.to_string()));
        }
        Ok(self)
    }

    /// Puts a field back that its column could not make use of.
    pub(super) fn keep_apart(&mut self, key: Cow<'a, str>, raw: &'a str) {
        self.keep(key, raw, 0);
    }

    /// Keeps what a nested object had no column for, under `name.key`.
    pub(super) fn keep_rest_of(&mut self, name: &'static str, rest: Fields<'a>) {
        self.displaced.extend(rest.displaced);
        for Extra { key, raw, .. } in rest.extras {
            self.keep(Cow::Owned(format!("{name}.{key}")), raw, 0);
        }
    }

    /// The fields of an object inside. With a `prefix` they are `prefix.key`; without one, those with
    /// a dotted key are looked up, because only a dotted key is an OTel name.
    fn place_inside(&mut self, raw: &'a str, prefix: Option<&'static str>) -> Result<(), ()> {
        self.objects = self.objects.saturating_add(1);
        let object = self.objects;
        each_field(raw, &mut |key, value| {
            self.keys += 1;
            if self.keys > KEYS_MAX {
                return;
            }
            let key = match prefix {
                Some(prefix) => Cow::Owned(format!("{prefix}.{key}")),
                None => key,
            };
            match self.names.find(&key).filter(|_| key.contains('.')) {
                Some(known) => {
                    let rank = known.rank + if prefix.is_none() { RANK_INSIDE } else { 0 };
                    self.set(known.column, Found { name: known.name, raw: value, rank });
                }
                None => self.keep(key, value, object),
            }
        })
        .map_err(|_| ())
    }

    fn set(&mut self, column: Column, found: Found<'a>) {
        let place = &mut self.columns[column as usize];
        let loser = match place {
            Some(held) if held.rank == found.rank => {
                *place = Some(found).filter(|f| f.raw != "null");
                return;
            }
            _ if found.raw == "null" => return,
            Some(held) if held.rank < found.rank => Some(found),
            _ => place.replace(found),
        };
        if let Some(Found { name, raw, .. }) = loser {
            self.keep(Cow::Borrowed(name), raw, 0);
        }
    }

    fn keep(&mut self, key: Cow<'a, str>, raw: &'a str, object: u8) {
        if raw == "null" {
            return;
        }
        match self.extras.iter_mut().find(|extra| extra.key == key) {
            Some(held) => {
                if held.object != object && held.raw != raw {
                    self.displaced.push(key);
                }
                (held.raw, held.object) = (raw, object);
            }
            None => self.extras.push(Extra { key, raw, object }),
        }
    }
}

/// Calls `each` with every key and value of the object `raw`, in order.
///
/// # Errors
/// `raw` is no object.
pub(super) fn each_field<'a>(
    raw: &'a str,
    each: &mut dyn FnMut(Cow<'a, str>, &'a str),
) -> Result<(), serde_json::Error> {
    serde_json::Deserializer::from_str(raw).deserialize_map(Each { field: each })
}

/// Calls `each` with every value of the array `raw`, in order.
pub(super) fn each_item<'a>(raw: &'a str, each: &mut dyn FnMut(&'a str)) -> Result<(), serde_json::Error> {
    serde_json::Deserializer::from_str(raw).deserialize_seq(Each { field: &mut |_, value| each(value) })
}

struct Each<'e, 'a> {
    field: &'e mut dyn FnMut(Cow<'a, str>, &'a str),
}

impl<'de> Visitor<'de> for Each<'_, 'de> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object or an array")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        // As text serde_json would refuse a key with half a surrogate pair.
        while let Some(key) = map.next_key::<&'de RawValue>()? {
            let value: &'de RawValue = map.next_value()?;
            (self.field)(text(key.get()).unwrap_or_default(), value.get());
        }
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<(), A::Error> {
        while let Some(value) = items.next_element::<&'de RawValue>()? {
            (self.field)(Cow::Borrowed(""), value.get());
        }
        Ok(())
    }
}
