package schemas

// Category is the vendor's kind of an event. Insights look at management events only.
type Category uint8

// The categories of events. The zero value is Management, because old event versions do not say.
const (
	Management Category = iota
	Data
	InsightCategory
	NetworkActivity
)

// PrincipalType says what kind of identity made a call.
type PrincipalType uint8

// The kinds of principals. Unknown is for records that do not say.
const (
	UnknownPrincipal PrincipalType = iota
	RootPrincipal
	UserPrincipal
	RolePrincipal
	FederatedPrincipal
	ServicePrincipal
)

// An Event is one normalized management event, as a decoder makes it. Its strings may alias the raw record.
type Event struct {
	ID   string // the vendor's event id, by which repeats are dropped
	Time int64  // event time, Unix seconds

	Account       Account // who received the event; ID is empty when the record does not say
	CallerAccount string  // the account of the caller's identity, for records without a receiver
	Region        string  // the region in the event, never that of its path

	Service   string // "ec2.amazonaws.com", "Ecs"
	Name      string // the call, "TerminateInstances"
	ErrorCode string // empty for a call that succeeded
	Write     bool
	Category  Category

	Principal     string // who, as people know it: a role without its session, or the person in a session
	PrincipalType PrincipalType
	CallerName    string // the caller's user or role by the name that requests use, empty where there is none
	AccessKey     string // empty where none was used
	SourceIP      string // as the record has it: an address, a service name, or masked text
	UserAgent     string
	Auth          Auth

	// Request is the JSON object of the request's parameters, empty if the record has none. It says whom a sensitive operation
	// changes; it may hold secrets, so nothing of it is passed on or logged.
	Request string
}

// A Chunk is the body of one raw message: whole raw records of one object, in their order.
type Chunk struct {
	Object  string // name of the object, for dead letters
	Account string // account named by the delivery path, empty if it names none
	Records []RawRecord
}

// A RawRecord is one undecoded record.
type RawRecord struct {
	Offset int64  // of its first byte in the uncompressed object
	Body   []byte // aliases the message it was read from
}

// An EventBatch is the body of one message of normalized events, all of one region.
type EventBatch struct {
	Sections []Section
}

// A Section holds the events of one account and region of one chunk, in stream order, at most
// [MaxSectionRows]. Where it is cut depends on the account's own events only, so that nobody else in its
// partition can change what a detector sees.
type Section struct {
	Account Account
	Region  string
	Lane    int      // the lane that fed it; settings and control records of this lane apply to the account
	Strings []string // dictionary of the rows; Strings[0] is ""
	Rows    []EventRow
}

// MaxSectionRows bounds the rows of a Section.
const MaxSectionRows = 512

// An EventRow is one event; its strings are indices into the section's dictionary.
type EventRow struct {
	ID            string
	Time          int64 // Unix seconds
	Service       uint32
	Name          uint32
	ErrorCode     uint32
	Principal     uint32
	AccessKey     uint32
	SourceIP      uint32
	Country       uint32
	UserAgent     uint32
	ASN           uint32
	PrincipalType PrincipalType
	Write         bool
	Traits
}
