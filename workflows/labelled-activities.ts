import {
  proxyActivities,
  type ActivityInterfaceFor,
  type ActivityOptions,
} from '@temporalio/workflow';
import {
  isLabelledCall,
  stepLabel,
  type LabelledCall,
  type LabelledObject,
} from '../contract/step-labels';

/**
 * Activities whose calls carry their label into the UI's timeline. `of` says whom they are done to. An activity without
 * a label does not compile.
 */
export function labelledActivities<A extends Record<Exclude<keyof A, LabelledCall>, never>>(
  options: ActivityOptions,
  of: LabelledObject = {},
): ActivityInterfaceFor<A> {
  return new Proxy(proxyActivities<A>(options), {
    get: (plain, name): unknown =>
      Reflect.get(
        isLabelledCall(name)
          ? proxyActivities<A>({ ...options, summary: stepLabel(name, of) })
          : plain,
        name,
      ),
  });
}
