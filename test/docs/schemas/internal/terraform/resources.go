// Package terraform knows what deploy/terraform uses of the providers of Google
// and of random, by their documentation. The program in provider serves that to
// the real terraform, which then plans the module without a network and without
// a project.
package terraform

// Kind is the type of an attribute.
type Kind int

// The types that the module uses.
const (
	String Kind = iota
	Number
	Bool
	Strings // a list of strings
	Map     // of strings
)

// Block is a resource or a block in it.
type Block struct {
	Required map[string]Kind
	Optional map[string]Kind
	Computed []string // strings that only the provider knows
	Blocks   map[string]Block
}

// Resources are the resources by their types.
var Resources = map[string]Block{
	"google_cloud_run_v2_service": {
		Required: map[string]Kind{"name": String, "location": String},
		Optional: map[string]Kind{"ingress": String},
		Computed: []string{"id", "uri"},
		Blocks:   map[string]Block{"template": template},
	},
	"google_cloud_run_v2_service_iam_member": {
		Required: map[string]Kind{"name": String, "role": String, "member": String},
		Optional: map[string]Kind{"location": String},
		Computed: []string{"id"},
	},
	"google_service_account": {
		Required: map[string]Kind{"account_id": String},
		Optional: map[string]Kind{"display_name": String},
		Computed: []string{"id", "email"},
	},
	"google_secret_manager_secret": {
		Required: map[string]Kind{"secret_id": String},
		Computed: []string{"id"},
		Blocks:   map[string]Block{"replication": {Blocks: map[string]Block{"auto": {}}}},
	},
	"google_secret_manager_secret_version": {
		Required: map[string]Kind{"secret": String, "secret_data": String},
		Computed: []string{"id"},
	},
	"google_secret_manager_secret_iam_member": {
		Required: map[string]Kind{"secret_id": String, "role": String, "member": String},
		Computed: []string{"id"},
	},
	"random_password": {
		Required: map[string]Kind{"length": Number},
		Optional: map[string]Kind{"special": Bool},
		Computed: []string{"id", "result"},
	},
}

var template = Block{
	Optional: map[string]Kind{
		"service_account": String, "timeout": String, "max_instance_request_concurrency": Number, "session_affinity": Bool,
	},
	Blocks: map[string]Block{
		"scaling":    {Optional: map[string]Kind{"min_instance_count": Number, "max_instance_count": Number}},
		"containers": containers,
	},
}

var containers = Block{
	Required: map[string]Kind{"image": String},
	Optional: map[string]Kind{"name": String, "depends_on": Strings},
	Blocks: map[string]Block{
		"ports": {Optional: map[string]Kind{"name": String, "container_port": Number}},
		"env": {
			Required: map[string]Kind{"name": String},
			Optional: map[string]Kind{"value": String},
			Blocks: map[string]Block{"value_source": {Blocks: map[string]Block{"secret_key_ref": {
				Required: map[string]Kind{"secret": String},
				Optional: map[string]Kind{"version": String},
			}}}},
		},
		"resources":      {Optional: map[string]Kind{"limits": Map, "cpu_idle": Bool, "startup_cpu_boost": Bool}},
		"startup_probe":  probe,
		"liveness_probe": probe,
	},
}

var probe = Block{
	Optional: map[string]Kind{"period_seconds": Number, "failure_threshold": Number},
	Blocks: map[string]Block{
		"http_get":   {Optional: map[string]Kind{"path": String, "port": Number}},
		"tcp_socket": {Optional: map[string]Kind{"port": Number}},
	},
}
