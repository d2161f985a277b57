//! From a record with its names to a flat row.

use std::hash::Hash;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use api::hubble::flow as pb;
use hashbrown::HashMap;
use parquet::data_type::ByteArray;
use prost::Message;
use serde::Serialize;

use super::{
    DESTINATION, DESTINATION_NUMBERS, EGRESS, Flat, INGRESS, NONE, Number, Policy, SOURCE,
    SOURCE_NUMBERS, Text, Used, Word,
};
use crate::enrich::Enriched;
use crate::history::{Kept, Row};
use crate::names::{EndpointNames, PolicyOrigin, ServiceName};
use crate::records::{Judgement, Mode, Party, Side, What};

/// Makes rows flat, and remembers what was written before: most names come again and again.
#[derive(Default)]
pub(in crate::history) struct Flattener {
    texts: Vec<ByteArray>,
    words: HashMap<Vec<u8>, Word>,
    addresses: HashMap<IpAddr, Word>,
    sockets: HashMap<SocketAddr, Word>,
    macs: HashMap<[u8; 6], Word>,
    /// By where they lie; what is written now lives until it is written.
    ends: HashMap<*const EndpointNames, [Word; 5]>,
    services: HashMap<*const ServiceName, Word>,
    policies: HashMap<Vec<*const PolicyOrigin>, Word>,
    used: Used,
}

/// What rows of a block are sorted by, and when they came: most columns are the same for the same ends.
const ORDER: [Text; 4] = [
    Text::What,
    Text::SourceAddress,
    Text::DestinationAddress,
    Text::SourcePod,
];

impl Flattener {
    /// The row, flat.
    pub(in crate::history) fn row(&mut self, row: &Row) -> Flat {
        let mut flat = Flat::new(&0);
        flat.set(Number::Position, row.position as i64);
        flat.set(Number::LeftOut, row.left_out);
        match &row.kept {
            Kept::Record(enriched) => self.record(&mut flat, enriched),
            Kept::Said(enriched, spoken) => {
                self.packet(&mut flat, enriched);
                self.said(&mut flat, spoken);
            }
            Kept::Message(flow) => self.message(&mut flat, flow),
        }
        self.used.note(&flat);
        flat
    }

    /// In which columns any of the rows so far has anything.
    pub(in crate::history) const fn used(&self) -> &Used {
        &self.used
    }

    /// A message is kept as it came; what it shares with records is in their columns too, for other readers.
    fn message(&mut self, flat: &mut Flat, flow: &pb::Flow) {
        let time_ns = flow.time.unwrap_or_default().unix_nanos();
        flat.set(Number::Time, i64::try_from(time_ns).unwrap_or(i64::MAX));
        flat.tell(Text::What, self.word("message"));
        if let Some(ip) = &flow.ip {
            flat.tell(Text::SourceAddress, self.word(&ip.source));
            flat.tell(Text::DestinationAddress, self.word(&ip.destination));
        }
        let ends = [(&flow.source, SOURCE), (&flow.destination, DESTINATION)];
        for (end, columns) in ends {
            if let Some(end) = end {
                flat.tell(columns[0], self.word(&end.namespace));
                flat.tell(columns[1], self.word(&end.pod_name));
                flat.tell(columns[4], self.word(&end.cluster_name));
            }
        }
        let message = self.octets(flow.encode_to_vec());
        flat.tell(Text::Message, message);
    }

    fn record(&mut self, flat: &mut Flat, enriched: &Enriched) {
        let record = &enriched.record;
        flat.set(
            Number::Time,
            i64::try_from(record.time_ns).unwrap_or(i64::MAX),
        );
        self.what(flat, &record.what);
        self.packet(flat, enriched);
    }

    /// Whose it was, and what else all records have.
    fn packet(&mut self, flat: &mut Flat, enriched: &Enriched) {
        let record = &enriched.record;
        let party = |flat: &mut Flat, of: &Party, [port, identity, endpoint]: [Number; 3]| {
            flat.set(port, of.port);
            flat.set(identity, of.identity);
            flat.set(endpoint, of.endpoint);
        };
        party(flat, &record.source, SOURCE_NUMBERS);
        party(flat, &record.destination, DESTINATION_NUMBERS);
        flat.set(Number::Protocol, record.protocol);
        flat.set(Number::Flags, record.tcp_flags_or_icmp_type);
        flat.set(Number::Code, record.icmp_code);
        flat.set(Number::Interface, record.interface);
        flat.tell(Text::SourceAddress, self.address(record.source.address));
        flat.tell(
            Text::DestinationAddress,
            self.address(record.destination.address),
        );
        if let Some(asked) = record.asked {
            flat.tell(Text::Asked, self.socket(asked));
        }
        if let Some(translated) = record.translated_source {
            flat.tell(Text::TranslatedSource, self.address(translated));
        }
        if let Some([destination, source]) = record.macs {
            flat.tell(Text::SourceMac, self.mac(source));
            flat.tell(Text::DestinationMac, self.mac(destination));
        }
        self.names(flat, enriched);
    }

    fn what(&mut self, flat: &mut Flat, what: &What) {
        let word = match *what {
            What::New {
                point,
                egress,
                ingress,
            } => {
                flat.set(Number::Point, point as u8);
                judge(flat, EGRESS, egress);
                judge(flat, INGRESS, ingress);
                "new"
            }
            What::Closed { point, way } => {
                flat.set(Number::Point, point as u8);
                flat.set(Number::Way, way as u8);
                "closed"
            }
            What::Denied {
                side,
                judgement,
                reason,
            } => {
                flat.set(Number::Side, side as u8);
                flat.set(Number::Reason, reason);
                let columns = match side {
                    Side::Egress => EGRESS,
                    Side::Ingress => INGRESS,
                };
                judge(flat, columns, Some(judgement));
                "denied"
            }
            What::Dropped { side, reason } => {
                flat.set(Number::Side, side.map_or(NONE, |side| side as i64));
                flat.set(Number::Reason, reason);
                "dropped"
            }
        };
        flat.tell(Text::What, self.word(word));
    }

    fn names(&mut self, flat: &mut Flat, enriched: &Enriched) {
        let ends = [
            (&enriched.source, SOURCE),
            (&enriched.destination, DESTINATION),
        ];
        for (names, columns) in ends {
            let Some(names) = names else { continue };
            let texts = self.end(names);
            for (column, text) in columns.into_iter().zip(texts) {
                flat.tell(column, text);
            }
        }
        for (service, column) in [
            (&enriched.source_service, Text::SourceService),
            (&enriched.destination_service, Text::DestinationService),
        ] {
            if let Some(service) = service {
                flat.tell(column, self.service(service));
            }
        }
        for (names, column) in [
            (&enriched.source_fqdns, Text::SourceNames),
            (&enriched.destination_fqdns, Text::DestinationNames),
        ] {
            if !names.is_empty() {
                flat.tell(column, self.json(names));
            }
        }
        for (policies, column) in [
            (&enriched.egress_policies, Text::EgressPolicies),
            (&enriched.ingress_policies, Text::IngressPolicies),
        ] {
            if !policies.is_empty() {
                flat.tell(column, self.policies(policies));
            }
        }
        if let Some(name) = &enriched.interface {
            flat.tell(Text::InterfaceName, self.word(name));
        }
    }

    fn end(&mut self, names: &Arc<EndpointNames>) -> [Word; 5] {
        if let Some(texts) = self.ends.get(&Arc::as_ptr(names)) {
            return *texts;
        }
        let texts = [
            self.word(&names.namespace),
            self.word(&names.pod_name),
            self.json(&names.labels),
            self.json(&names.workloads),
            self.word(&names.cluster_name),
        ];
        self.ends.insert(Arc::as_ptr(names), texts);
        texts
    }

    /// The word of what was written before, or of the text that it has.
    fn known<K: Hash + Eq>(
        &mut self,
        words: fn(&mut Self) -> &mut HashMap<K, Word>,
        key: K,
        text: impl FnOnce() -> String,
    ) -> Word {
        if let Some(word) = words(self).get(&key) {
            return *word;
        }
        let word = self.word(&text());
        words(self).insert(key, word);
        word
    }

    fn service(&mut self, service: &Arc<ServiceName>) -> Word {
        let text = || format!("{}/{}", service.namespace, service.name);
        self.known(|of| &mut of.services, Arc::as_ptr(service), text)
    }

    fn address(&mut self, address: IpAddr) -> Word {
        self.known(|of| &mut of.addresses, address, || address.to_string())
    }

    fn socket(&mut self, address: SocketAddr) -> Word {
        self.known(|of| &mut of.sockets, address, || address.to_string())
    }

    fn mac(&mut self, mac: [u8; 6]) -> Word {
        let text = || mac.map(|octet| format!("{octet:02x}")).join(":");
        self.known(|of| &mut of.macs, mac, text)
    }

    fn policies(&mut self, policies: &[Arc<PolicyOrigin>]) -> Word {
        let at: Vec<_> = policies.iter().map(Arc::as_ptr).collect();
        if let Some(word) = self.policies.get(&at) {
            return *word;
        }
        let policies: Vec<Policy> = policies.iter().map(|origin| policy(origin)).collect();
        let word = self.json(&policies);
        self.policies.insert(at, word);
        word
    }

    pub(super) fn word(&mut self, word: &str) -> Word {
        if word.is_empty() {
            return 0;
        }
        match self.words.get(word.as_bytes()) {
            Some(number) => *number,
            None => self.octets(word.as_bytes().to_vec()),
        }
    }

    fn octets(&mut self, octets: Vec<u8>) -> Word {
        self.texts.push(ByteArray::from(octets.clone()));
        let number = self.texts.len() as Word;
        self.words.insert(octets, number);
        number
    }

    /// The text of a column.
    pub(in crate::history) fn text(&self, row: &Flat, of: Text) -> ByteArray {
        let text = self.known_text(row.word(of));
        text.cloned().unwrap_or_else(|| ByteArray::from(""))
    }

    /// The octets of a word.
    pub(in crate::history) fn octets_of(&self, word: Word) -> &[u8] {
        self.known_text(word).map_or(&[], ByteArray::data)
    }

    fn known_text(&self, word: Word) -> Option<&ByteArray> {
        let at = (word as usize).checked_sub(1);
        at.and_then(|at| self.texts.get(at))
    }

    /// How many words there are: they count from 0.
    pub(in crate::history) fn words(&self) -> usize {
        self.texts.len() + 1
    }

    /// Puts rows that have most in common beside each other.
    pub(in crate::history) fn sort(rows: &mut [Flat]) {
        // Rows are long: their keys are sorted, and they are moved once.
        rows.sort_by_cached_key(|row| {
            let ends = ORDER.map(|of| row.texts[of as usize]);
            (
                ends,
                row.number(Number::DestinationPort),
                row.number(Number::Position),
            )
        });
    }

    pub(super) fn json(&mut self, list: &impl Serialize) -> Word {
        let text = serde_json::to_string(list).unwrap_or_default();
        self.word(&text)
    }
}

fn judge(flat: &mut Flat, [match_type, rule, audited, proxy]: [Number; 4], by: Option<Judgement>) {
    let Some(by) = by else { return };
    flat.set(match_type, by.match_type);
    flat.set(rule, by.rule);
    flat.set(audited, by.mode == Mode::Audited);
    flat.set(proxy, by.proxy_port);
}

fn policy(origin: &PolicyOrigin) -> Policy {
    Policy {
        kind: Arc::clone(&origin.kind),
        namespace: Arc::clone(&origin.namespace),
        name: Arc::clone(&origin.name),
        labels: origin.labels.clone(),
        revision: origin.revision,
        log: Arc::clone(&origin.log),
    }
}
