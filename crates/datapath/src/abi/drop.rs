//! Why a packet was dropped: the one table of reasons, shared by the data plane, flows, metrics and docs.
//!
//! Numbers up to 207 are those of upstream, where a reason exists there; ours follow from 224 on. The name is that of
//! Hubble's enum, the text is what command lines and metric labels show.

macro_rules! reasons {
    ($($number:literal $variant:ident $name:literal $text:literal;)+) => {
        /// Why a packet was dropped.
        #[allow(missing_docs, reason = "the texts in the table are the documentation")]
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        #[repr(u8)]
        pub enum Drop { $($variant = $number,)+ }

        impl Drop {
            /// Every reason, in the order of numbers.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)+];

            /// The reason of a number.
            pub const fn from_number(number: u8) -> Option<Self> {
                match number { $($number => Some(Self::$variant),)+ _ => None }
            }

            /// Name in Hubble's enum `DropReason`.
            pub const fn name(self) -> &'static str {
                match self { $(Self::$variant => $name,)+ }
            }

            /// What people read.
            pub const fn text(self) -> &'static str {
                match self { $(Self::$variant => $text,)+ }
            }
        }
    };
}

impl Drop {
    /// Its number on the wire of events, flows and metrics.
    #[inline(always)]
    pub const fn number(self) -> u8 {
        self as u8
    }
}

reasons! {
    130 InvalidSourceMac "INVALID_SOURCE_MAC" "Invalid source mac";
    131 InvalidDestinationMac "INVALID_DESTINATION_MAC" "Invalid destination mac";
    132 InvalidSourceIp "INVALID_SOURCE_IP" "Invalid source ip";
    133 PolicyDenied "POLICY_DENIED" "Policy denied";
    134 InvalidPacketDropped "INVALID_PACKET_DROPPED" "Invalid packet";
    135 CtTruncatedOrInvalidHeader "CT_TRUNCATED_OR_INVALID_HEADER" "CT: Truncated or invalid header";
    136 CtMissingTcpAckFlag "CT_MISSING_TCP_ACK_FLAG" "Fragmentation needed";
    137 CtUnknownL4Protocol "CT_UNKNOWN_L4_PROTOCOL" "CT: Unknown L4 protocol";
    138 CtCannotCreateEntryFromPacket "CT_CANNOT_CREATE_ENTRY_FROM_PACKET" "CT: Can't create entry from packet";
    139 UnsupportedL3Protocol "UNSUPPORTED_L3_PROTOCOL" "Unsupported L3 protocol";
    140 MissedTailCall "MISSED_TAIL_CALL" "Missed tail call";
    141 ErrorWritingToPacket "ERROR_WRITING_TO_PACKET" "Error writing to packet";
    142 UnknownL4Protocol "UNKNOWN_L4_PROTOCOL" "Unknown L4 protocol";
    143 UnknownIcmpv4Code "UNKNOWN_ICMPV4_CODE" "Unknown ICMPv4 code";
    144 UnknownIcmpv4Type "UNKNOWN_ICMPV4_TYPE" "Unknown ICMPv4 type";
    145 UnknownIcmpv6Code "UNKNOWN_ICMPV6_CODE" "Unknown ICMPv6 code";
    146 UnknownIcmpv6Type "UNKNOWN_ICMPV6_TYPE" "Unknown ICMPv6 type";
    147 ErrorRetrievingTunnelKey "ERROR_RETRIEVING_TUNNEL_KEY" "Error retrieving tunnel key";
    148 ErrorRetrievingTunnelOptions "ERROR_RETRIEVING_TUNNEL_OPTIONS" "Error retrieving tunnel options";
    149 InvalidGeneveOption "INVALID_GENEVE_OPTION" "Invalid Geneve option";
    150 UnknownL3TargetAddress "UNKNOWN_L3_TARGET_ADDRESS" "Unknown L3 target address";
    151 StaleOrUnroutableIp "STALE_OR_UNROUTABLE_IP" "Stale or unroutable IP";
    152 NoMatchingLocalContainerFound "NO_MATCHING_LOCAL_CONTAINER_FOUND" "No matching local container found";
    153 ErrorWhileCorrectingL3Checksum "ERROR_WHILE_CORRECTING_L3_CHECKSUM" "Error while correcting L3 checksum";
    154 ErrorWhileCorrectingL4Checksum "ERROR_WHILE_CORRECTING_L4_CHECKSUM" "Error while correcting L4 checksum";
    155 CtMapInsertionFailed "CT_MAP_INSERTION_FAILED" "CT: Map insertion failed";
    156 InvalidIpv6ExtensionHeader "INVALID_IPV6_EXTENSION_HEADER" "Invalid IPv6 extension header";
    157 IpFragmentationNotSupported "IP_FRAGMENTATION_NOT_SUPPORTED" "IP fragmentation not supported";
    158 ServiceBackendNotFound "SERVICE_BACKEND_NOT_FOUND" "Service backend not found";
    160 NoTunnelOrEncapsulationEndpoint "NO_TUNNEL_OR_ENCAPSULATION_ENDPOINT" "No tunnel/encapsulation endpoint (datapath BUG!)";
    161 FailedToInsertIntoProxymap "FAILED_TO_INSERT_INTO_PROXYMAP" "NAT 46/64 not enabled";
    162 ReachedEdtRateLimitingDropHorizon "REACHED_EDT_RATE_LIMITING_DROP_HORIZON" "Reached EDT rate-limiting drop horizon";
    163 UnknownConnectionTrackingState "UNKNOWN_CONNECTION_TRACKING_STATE" "Unknown connection tracking state";
    164 LocalHostIsUnreachable "LOCAL_HOST_IS_UNREACHABLE" "Local host is unreachable";
    165 NoConfigurationAvailableToPerformPolicyDecision "NO_CONFIGURATION_AVAILABLE_TO_PERFORM_POLICY_DECISION" "No configuration available to perform policy decision";
    166 UnsupportedL2Protocol "UNSUPPORTED_L2_PROTOCOL" "Unsupported L2 protocol";
    167 NoMappingForNatMasquerade "NO_MAPPING_FOR_NAT_MASQUERADE" "No mapping for NAT masquerade";
    168 UnsupportedProtocolForNatMasquerade "UNSUPPORTED_PROTOCOL_FOR_NAT_MASQUERADE" "Unsupported protocol for NAT masquerade";
    169 FibLookupFailed "FIB_LOOKUP_FAILED" "FIB lookup failed";
    170 EncapsulationTrafficIsProhibited "ENCAPSULATION_TRAFFIC_IS_PROHIBITED" "Encapsulation traffic is prohibited";
    171 InvalidIdentity "INVALID_IDENTITY" "Invalid identity";
    172 UnknownSender "UNKNOWN_SENDER" "Unknown sender";
    173 NatNotNeeded "NAT_NOT_NEEDED" "NAT not needed";
    174 IsAClusterip "IS_A_CLUSTERIP" "Is a ClusterIP";
    175 FirstLogicalDatagramFragmentNotFound "FIRST_LOGICAL_DATAGRAM_FRAGMENT_NOT_FOUND" "First logical datagram fragment not found";
    176 ForbiddenIcmpv6Message "FORBIDDEN_ICMPV6_MESSAGE" "Forbidden ICMPv6 message";
    177 DeniedByLbSrcRangeCheck "DENIED_BY_LB_SRC_RANGE_CHECK" "Denied by LB src range check";
    178 SocketLookupFailed "SOCKET_LOOKUP_FAILED" "Socket lookup failed";
    179 SocketAssignFailed "SOCKET_ASSIGN_FAILED" "Socket assign failed";
    180 ProxyRedirectionNotSupportedForProtocol "PROXY_REDIRECTION_NOT_SUPPORTED_FOR_PROTOCOL" "Proxy redirection not supported for protocol";
    181 PolicyDeny "POLICY_DENY" "Policy denied by denylist";
    182 VlanFiltered "VLAN_FILTERED" "VLAN traffic disallowed by VLAN filter";
    183 InvalidVni "INVALID_VNI" "Incorrect VNI from VTEP";
    184 InvalidTcBuffer "INVALID_TC_BUFFER" "Failed to update or lookup TC buffer";
    185 NoSid "NO_SID" "No SID was found for the IP address";
    186 MissingSrv6State "MISSING_SRV6_STATE" "SRv6 state was removed during tail call";
    187 Nat46 "NAT46" "L3 translation from IPv4 to IPv6 failed (NAT46)";
    188 Nat64 "NAT64" "L3 translation from IPv6 to IPv4 failed (NAT64)";
    189 AuthRequired "AUTH_REQUIRED" "Authentication required";
    190 CtNoMapFound "CT_NO_MAP_FOUND" "No conntrack map found";
    191 SnatNoMapFound "SNAT_NO_MAP_FOUND" "No nat map found";
    192 InvalidClusterId "INVALID_CLUSTER_ID" "Invalid ClusterID";
    193 UnsupportedProtocolForDsrEncap "UNSUPPORTED_PROTOCOL_FOR_DSR_ENCAP" "Unsupported packet protocol for DSR encapsulation";
    194 NoEgressGateway "NO_EGRESS_GATEWAY" "No egress gateway found";
    195 UnencryptedTraffic "UNENCRYPTED_TRAFFIC" "Traffic is unencrypted";
    196 TtlExceeded "TTL_EXCEEDED" "TTL exceeded";
    197 NoNodeId "NO_NODE_ID" "No node ID found";
    198 RateLimited "DROP_RATE_LIMITED" "Rate limited";
    199 IgmpHandled "IGMP_HANDLED" "IGMP handled";
    200 IgmpSubscribed "IGMP_SUBSCRIBED" "IGMP subscribed";
    201 MulticastHandled "MULTICAST_HANDLED" "Multicast handled";
    202 HostNotReady "DROP_HOST_NOT_READY" "Host datapath not ready";
    203 EpNotReady "DROP_EP_NOT_READY" "Endpoint policy program not available";
    204 NoEgressIp "DROP_NO_EGRESS_IP" "No Egress IP configured";
    205 PuntProxy "DROP_PUNT_PROXY" "Punt to proxy";
    224 MappedAddress "AXONEME_MAPPED_ADDRESS" "IPv4-mapped IPv6 address on the wire";
    225 RogueDhcp "AXONEME_ROGUE_DHCP" "DHCP offer from a pod";
    226 ConnectionQuota "AXONEME_CONNECTION_QUOTA" "Connection quota of the endpoint exhausted";
    227 PolicyLockdown "AXONEME_POLICY_LOCKDOWN" "Policy does not fit its tables";
}
