/** Objects of a cluster with the fields that the checks read; an API server may omit any of them. */
export interface KubeObject {
  readonly metadata: {
    readonly name: string;
    readonly namespace?: string;
    readonly labels?: Readonly<Record<string, string>>;
    readonly annotations?: Readonly<Record<string, string>>;
  };
  readonly status?: {
    readonly conditions?: readonly Condition[];
  };
}

export interface Condition {
  readonly type: string;
  readonly status: string;
  readonly reason?: string;
  readonly message?: string;
}

interface Container {
  readonly args?: readonly string[];
  readonly env?: readonly { readonly name: string; readonly value?: string }[];
  readonly ports?: readonly { readonly name?: string; readonly containerPort: number }[];
  readonly lifecycle?: { readonly preStop?: { readonly sleep?: { readonly seconds: number } } };
}

/** A Deployment or a Knative Service. */
export interface Workload extends KubeObject {
  readonly spec: {
    readonly template: {
      readonly metadata?: { readonly labels?: Readonly<Record<string, string>> };
      readonly spec: {
        readonly containers: readonly Container[];
        readonly terminationGracePeriodSeconds?: number;
      };
    };
  };
}

export interface Service extends KubeObject {
  readonly spec: {
    readonly selector?: Readonly<Record<string, string>>;
    readonly ports?: readonly { readonly port: number; readonly targetPort?: number | string }[];
  };
}

export interface Reference {
  readonly ref?: { readonly apiVersion?: string; readonly kind?: string; readonly name?: string };
  readonly uri?: string;
}

interface Delivery {
  readonly retry?: number;
  readonly backoffPolicy?: string;
  readonly backoffDelay?: string;
  readonly deadLetterSink?: Reference;
}

export interface Broker extends KubeObject {
  readonly spec?: { readonly delivery?: Delivery };
}

export interface Trigger extends KubeObject {
  readonly spec: {
    readonly broker?: string;
    readonly filter?: { readonly attributes?: Readonly<Record<string, string>> };
    /** Filters of more kinds, which replace `filter`. */
    readonly filters?: readonly TriggerFilter[];
    readonly delivery?: Delivery;
    readonly subscriber: Reference;
  };
}

/** Of the kinds of filters, those that the checks read. */
interface TriggerFilter {
  readonly exact?: Readonly<Record<string, string>>;
}

export interface KafkaSource extends KubeObject {
  readonly spec: {
    readonly topics: readonly string[];
    readonly consumerGroup?: string;
    readonly initialOffset?: string;
    readonly ordering?: string;
    readonly delivery?: Delivery;
    readonly sink: Reference;
  };
}

interface PingSource extends KubeObject {
  readonly spec: { readonly sink: Reference };
}

interface KafkaSink extends KubeObject {
  readonly spec: { readonly topic: string };
}

export interface ScaledObject extends KubeObject {
  readonly spec: {
    readonly scaleTargetRef: { readonly name: string; readonly kind?: string };
    readonly minReplicaCount?: number;
    readonly maxReplicaCount?: number;
    readonly triggers: readonly {
      readonly type: string;
      readonly metadata: Readonly<Record<string, string>>;
    }[];
  };
}

interface Autoscaler extends KubeObject {
  readonly spec: { readonly scaleTargetRef: { readonly name: string } };
}

/** An event of events.k8s.io/v1. */
export interface KubeEvent {
  readonly metadata: { readonly creationTimestamp?: string };
  readonly regarding?: { readonly kind?: string; readonly name?: string };
  readonly type?: string;
  readonly reason?: string;
  readonly note?: string;
  readonly eventTime?: string | null;
  readonly series?: { readonly lastObservedTime?: string };
  readonly deprecatedLastTimestamp?: string | null;
}

export interface KafkaConnector extends KubeObject {
  readonly spec: {
    readonly class?: string;
    readonly pause?: boolean;
    readonly state?: string;
    readonly config?: Readonly<Record<string, string | number | boolean>>;
  };
  readonly status?: KubeObject['status'] & {
    readonly connectorStatus?: {
      readonly tasks?: readonly {
        readonly id: number;
        readonly state: string;
        readonly trace?: string;
      }[];
    };
  };
}

/** The objects of a kind, or why they could not be read. */
export type Listed<T> = readonly T[] | { readonly why: string };

export interface ClusterObjects {
  readonly deployments: Listed<Workload>;
  readonly services: Listed<Service>;
  readonly knativeServices: Listed<Workload>;
  readonly kafkaSources: Listed<KafkaSource>;
  readonly kafkaSinks: Listed<KafkaSink>;
  readonly pingSources: Listed<PingSource>;
  readonly brokers: Listed<Broker>;
  readonly triggers: Listed<Trigger>;
  readonly scaledObjects: Listed<ScaledObject>;
  readonly autoscalers: Listed<Autoscaler>;
  readonly events: Listed<KubeEvent>;
  /** Of every namespace. */
  readonly connectors: Listed<KafkaConnector>;
}

/** Returns the objects; throws an error with the reason if they could not be read. */
export function listed<T>(list: Listed<T>): readonly T[] {
  if ('why' in list) throw new Error(list.why);
  return list;
}

/** Returns the objects, or none if they could not be read. */
export function known<T>(list: Listed<T>): readonly T[] {
  return 'why' in list ? [] : list;
}

export function conditionOf(object: KubeObject, type: string): Condition | undefined {
  return object.status?.conditions?.find((each) => each.type === type);
}

/** Returns the reason and message of a condition. */
export function reasonOf(condition: Condition | undefined): string {
  if (condition === undefined) {
    return 'no controller has processed it yet: is its controller running?';
  }
  return [condition.reason, condition.message].filter(Boolean).join(': ') || condition.status;
}
