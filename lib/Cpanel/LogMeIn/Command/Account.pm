package Cpanel::LogMeIn::Command::Account;

use strict;
use warnings;
use parent 'Cpanel::LogMeIn::Command';
use Cpanel::LogMeIn                    ();
use Cpanel::LogMeIn::Command::Hash     ();
use Cpanel::LogMeIn::Command::Session  ();
use Cpanel::LogMeIn::Command::Terminal qw(print_json_list print_table read_password);
use Cpanel::LogMeIn::Command::Words    qw(user_of);
use Cpanel::LogMeIn::Session           ();

our $VERSION = '0.01';

my $TROUBLE  = 3;
my $UID_MAX  = 4_294_967_294;
my @SERVICES = map { $_->{name} } Cpanel::LogMeIn::services();

# As enum lmi_change numbers them.
my %CHANGE = ( add => 1, passwd => 2, suspend => 3, unsuspend => 4, remove => 5 );

sub actions {
    my @password = qw(cost=s password-stdin scheme=s);
    my @account  = ('ACCOUNT');
    return (
        list   => { options => ['json'] },
        add    => { options => [ @password, qw(domain=s reseller uid=s) ], arguments => \@account },
        passwd => { options => \@password,                                 arguments => \@account },
        map { $_ => { arguments => \@account } } qw(suspend unsuspend remove)
    );
}

sub complaint {
    my ( $class, $word, $option, $user ) = @_;
    return                         if $word eq 'list';
    return 'The account is empty.' if !length $user;
    my $uid = $option->{uid} // 1;
    return "'$uid' is not a uid: use a number from 1 to $UID_MAX."
        if $uid !~ /\A[1-9][0-9]{0,9}\z/ || $uid > $UID_MAX;
    return 'A mailbox has no --domain, --reseller and --uid of its own.'
        if $user =~ /@/ && grep { defined $option->{$_} } qw(domain reseller uid);
    return Cpanel::LogMeIn::Command::Hash::complaint_about($option);
}

sub run {
    my ( $class, $word, $option, $user ) = @_;
    my $sessions = Cpanel::LogMeIn::Session->new;
    return _list( $option, _core( sub { $sessions->_accounts } ) ) if $word eq 'list';
    my ( $prefix, $cost ) = Cpanel::LogMeIn::Command::Hash::scheme_of($option);
    my %change = (
        user     => $user,
        prefix   => $prefix,
        cost     => $cost,
        domain   => $option->{domain},
        reseller => $option->{reseller},
        uid      => $option->{uid} // 0,
    );
    my @answer =
        @{ _core( sub { [ $sessions->_change_account( $CHANGE{$word}, %change, look => 1 ) ] } ) };
    if ( $answer[0] eq 'done' ) {
        $change{pass} = read_password( stdin => $option->{'password-stdin'}, twice => 1 )
            if $word eq 'add' || $word eq 'passwd';
        @answer = $sessions->_change_account( $CHANGE{$word}, %change );
    }
    return _advise( $sessions, $word, \%change ) if $answer[0] eq 'system';
    return _refused( $user, @answer )            if $answer[0] ne 'done';
    return _done( $sessions, $word, $user );
}

# What the function returns; of what it dies of, only what the core says of it.
sub _core {
    my ($function) = @_;
    return eval { $function->() } // die "$Cpanel::LogMeIn::detail\n";
}

# The outcomes that are a no; all others are trouble.
my %NO = map { $_ => 1 }
    qw(missing there same name domain owner uid home reseller faulty system hash.cost);

sub _refused {
    my ( $user, $outcome, $sentence ) = @_;
    _say("$user: $sentence");
    return $NO{$outcome} ? 1 : $TROUBLE;
}

# Lines on standard error, without control characters.
sub _say {
    my (@lines) = @_;
    print {*STDERR} map { "logmein: $_\n" } map { s/[^[:print:]\x80-\xff]/?/gr } @lines;
    return;
}

# What the operator should know after a change.
sub _done {
    my ( $sessions, $word, $user ) = @_;
    return _end_sessions( $sessions, $user ) if $word eq 'remove';
    _say("$user is refused from now on. Sessions end within a minute, when they are next used.")
        if $word eq 'suspend';
    _say("Sessions of $user end within a minute, when they are next used.") if $word eq 'passwd';
    return 0                                                                if $word eq 'suspend';
    my ($account) = grep { $_->{user} eq user_of($user) } @{ $sessions->_accounts };
    my $refusals = $account && $account->{refusals};
    return 0 if !$refusals || keys %{$refusals} < @SERVICES;
    my $service = $account->{mailbox} ? 'webmail' : 'cpanel';
    _say("$user can't log in yet: $refusals->{$service}.");
    return 0;
}

# The sessions of a removed account. They would end anyway, when they are next used.
sub _end_sessions {
    my ( $sessions, $user ) = @_;
    my $ended = eval {
        Cpanel::LogMeIn::Command::Session::end_all( $sessions, sub { }, user => user_of($user) );
    };
    if ( !defined $ended ) {
        _say(
            "$user is removed, but: $Cpanel::LogMeIn::detail",
            'Sessions end within a minute, when they are next used.'
        );
        return $TROUBLE;
    }
    _say("Sessions ended: $ended.") if $ended;
    return 0;
}

# For users of this machine: what to run instead.
sub _advise {
    my ( $sessions, $word, $change ) = @_;
    my $user      = $change->{user};
    my $by_cpanel = -e '/var/cpanel';
    my $hash      = "logmein hash | sed 's/^/$user:/' | chpasswd --encrypted";
    my $suspended = "/var/cpanel/suspended/$user";
    my $uid       = $change->{uid} ? "--uid $change->{uid} " : q{};
    my %lines     = (
        add => [
            "useradd --create-home --shell /bin/bash $uid$user",
            $hash,
            $by_cpanel                ? "echo USER=$user > /var/cpanel/users/$user"           : (),
            defined $change->{domain} ? "echo '$change->{domain}: $user' >> /etc/userdomains" : (),
            $change->{reseller}       ? "echo '$user:all' >> /var/cpanel/resellers"           : (),
        ],
        passwd    => [$hash],
        suspend   => [ $by_cpanel ? "touch $suspended" : "usermod --lock $user" ],
        unsuspend => [ $by_cpanel ? "rm $suspended"    : "usermod --unlock $user" ],
        remove => [ $by_cpanel ? "rm -f /var/cpanel/users/$user $suspended" : (), "userdel $user" ],
    );
    _say('Nothing was changed: users of this machine are not changed by logmein. Run this:');
    print map { "$_\n" } @{ $lines{$word} };
    return 1;
}

# Where an account may log in, and why not, in a few words.
sub _list {
    my ( $option, $accounts ) = @_;
    return _list_json($accounts) if $option->{json};
    my $number = 0;
    print_table(
        [qw(ACCOUNT SERVICES STATE)],
        sub {
            my $account = $accounts->[ $number++ ] // return;
            my @may     = _services_of($account);
            return [ $account->{user}, join( q{,}, @may ) || q{-}, _state_of( $account, @may ) ];
        }
    );
    return 0;
}

sub _services_of {
    my ($account) = @_;
    return grep { !defined $account->{refusals}{$_} } @SERVICES;
}

sub _state_of {
    my ( $account, @may ) = @_;
    return $account->{reseller} ? 'reseller' : 'active' if @may;
    return 'suspended'                                  if $account->{suspended};
    return $account->{refusals}{ $account->{mailbox} ? 'webmail' : 'cpanel' };
}

sub _list_json {
    my ($accounts) = @_;
    my $number = 0;
    print_json_list(
        sub {
            my $account = $accounts->[ $number++ ] // return;
            my @may     = _services_of($account);
            my %flag    = map { $_ => $account->{$_} ? \1 : \0 } qw(mailbox reseller suspended);
            return {
                %flag,
                services => \@may,
                state    => _state_of( $account, @may ),
                map { $_ => $account->{$_} } qw(home owner refusals uid user)
            };
        }
    );
    return 0;
}

1;

__END__

=head1 NAME

logmein-account - list, add, change and remove accounts and mailboxes

=head1 SYNOPSIS

    logmein account list --json
    logmein account add alice --domain alice.example
    logmein account add info@alice.example --password-stdin < password
    logmein account passwd alice
    logmein account suspend alice
    logmein account unsuspend alice
    logmein account remove alice

=head1 DESCRIPTION

Changes the account files of a site of its own: of the folder that the setting
C<site_root> names, as described in L<Cpanel::LogMeIn/FILES>. It is for root, or for
the user whom these files belong to.

If C<site_root> is F</>, accounts are users of this machine, and nothing of them is
changed. Then the lines to run instead are printed, with useradd, chpasswd, usermod and
userdel, and the exit status is 1. Mailboxes are changed there, too.

Each file is replaced as a whole: a crash at any moment leaves the old file or the new
one, and an account that is not complete can't log in; the same command again completes
it. Two changes at a time wait for each other, for at most 10 seconds. Lines of other
accounts are never changed. Files below a home are changed with the rights of the home's
owner only; links there are never followed.

=head1 COMMANDS

=head2 list

The accounts by name, then the mailboxes: where each may log in, as the login itself
decides it, without regard to passwords and waits. With C<--json> it is a list of objects
with these keys:

=over 4

=item C<user>, C<uid>, C<home>, C<owner>

The name of the account, or address of the mailbox; uid and home, of a mailbox those of
its owner; the owner of a mailbox, null for others.

=item C<services>, C<refusals>

The services where it may log in; and for the others, by name, why not.

=item C<state>

active, reseller, suspended, or why it can't log in anywhere.

=item C<mailbox>, C<reseller>, C<suspended>

True or false.

=back

=head2 add ACCOUNT

Adds an account, with a home below F</home> of the site; or, for NAME@DOMAIN, a mailbox of
a domain that is in F<etc/userdomains>. What an account of this name has left behind, such
as privileges, a suspension or domains, is removed first. The password is asked for,
twice.

=head2 passwd ACCOUNT

Sets a new password. A suspended account stays suspended. Sessions that the old password
has opened end when the account is read again: when they are next used, but up to a minute
later.

=head2 suspend ACCOUNT

Logins are refused from now on, and those of the account's mailboxes, too. Sessions end
when the account is read again: when they are next used, but up to a minute later. If the
site has a F<var/cpanel>, a file in F<var/cpanel/suspended> says so; otherwise, and for
mailboxes, C<!> before the hash.

=head2 unsuspend ACCOUNT

Ends the suspension.

=head2 remove ACCOUNT

Removes the account, its domains, privileges and suspension, and ends its sessions. Its
home, with its mailboxes' files, stays, and they are mailboxes again if their domain is
added again; sessions of its mailboxes end like those of a
suspended account. Of a mailbox, only the password is removed.

=head1 OPTIONS

=over 4

=item C<--domain DOMAIN>

With add: a domain that is the account's, for mailboxes, and as a name of this machine.

=item C<--reseller>

With add: the account may log in to whm. The site needs a F<var/cpanel>.

=item C<--uid NUMBER>

With add: the uid of the account's files. By default one from 1001 on that neither the
site nor this machine uses; of a site that belongs to another user than root, this user's.

=item C<--scheme SCHEME>, C<--cost N>

With add and passwd: how the password is hashed, as for L<logmein-hash(1)>. A mailbox's
hash may be at most a quarter of the work of another account's.

=item C<--password-stdin>

With add and passwd: reads the password from the first line of standard input, instead of
asking for it at the terminal.

=item C<--json>

With list: JSON.

=item C<--config FILE>

The settings file, instead of the one that is in use.

=back

=head1 EXIT STATUS

0 if it was done; 1 if not, and nothing was changed: standard error says why; 2 for wrong
usage; 3 if a file can't be read or written, or there is no password.

=head1 SEE ALSO

L<logmein(1)>, L<logmein-hash(1)>, L<logmein-doctor(8)>, L<Cpanel::LogMeIn>.

=head1 LICENSE

MIT: see the file LICENSE.

=cut
